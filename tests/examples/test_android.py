"""Compiles the Android app and runs what of it needs no Android, with a real .tflite file.

There is no Android SDK here. aapt checks the manifest and the resources against Android's own; the
Kotlin compiler checks the app against stubs (android_stubs/) of what it uses of Android and LiteRT.
Then the app's Transcriber and Recorder run on the Java machine: the stub of LiteRT's interpreter
passes tensors to a Python process, the stub of the microphone hears a ramp.

    apt-get install openjdk-17-jdk-headless aapt android-framework-res libandroid-json-java
    pip install --no-deps kotlin-jupyter-kernel
"""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.tensorflow_only

HERE = Path(__file__).parent
APP = HERE.parents[1] / "examples" / "android" / "app" / "src" / "main"
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
JSON = Path("/usr/share/java/com.android.json.jar")  # Android's own org.json


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The folder of R.java, which aapt makes of the manifest and the resources."""
    if not shutil.which("aapt") or not FRAMEWORK.exists():
        pytest.skip("needs aapt and android-framework-res")
    folder = tmp_path_factory.mktemp("generated")
    manifest = (APP / "AndroidManifest.xml").read_text(encoding="utf-8")
    package = '<manifest package="com.example.transcribe"'  # Gradle's `namespace`
    (folder / "AndroidManifest.xml").write_text(
        manifest.replace("<manifest", package).replace('".Main', '"com.example.transcribe.Main'),
        encoding="utf-8",
    )
    _run(
        ["aapt", "package", "-f", "-m", "-J", folder, "-M", folder / "AndroidManifest.xml"],
        ["-S", APP / "res", "-I", FRAMEWORK, "-F", folder / "resources.apk"],
    )
    return folder


@pytest.fixture(scope="module")
def classpath(generated, tmp_path_factory):
    """Compiles the stubs, the app and RunApp.kt; returns the classpath to run them with."""
    kernel = importlib.util.find_spec("run_kotlin_kernel")
    if not kernel or not shutil.which("javac") or not JSON.exists():
        pytest.skip("needs javac, kotlin-jupyter-kernel and libandroid-json-java")
    jars = Path(kernel.submodule_search_locations[0]) / "jars"
    stubs, classes = (tmp_path_factory.mktemp(name) for name in ("stubs", "classes"))
    _run(["javac", "-d", stubs, *HERE.rglob("*.java"), *generated.rglob("*.java")])
    (library,) = jars.glob("kotlin-stdlib-*.jar")
    compiler = ["java", "-cp", f"{jars}/*", "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"]
    _run(
        [*compiler, "-language-version", "2.3", "-no-stdlib", "-no-reflect", "-Werror"],
        ["-d", classes, "-cp", f"{library}:{JSON}:{stubs}", APP / "kotlin", HERE / "RunApp.kt"],
    )
    return f"{classes}:{library}:{JSON}:{stubs}"


def test_the_manifest_asks_for_the_microphone_only(generated):
    permissions = _run(["aapt", "dump", "permissions", generated / "resources.apk"])
    assert permissions.splitlines() == [
        "package: com.example.transcribe",
        "uses-permission: name='android.permission.RECORD_AUDIO'",
    ]
    with zipfile.ZipFile(generated / "resources.apk") as package:
        assert "AndroidManifest.xml" in package.namelist()


def test_the_app_gives_the_text_of_python(classpath, make_contextnet, examples, tmp_path):
    model = make_contextnet()
    model.export(tmp_path / "asr.tflite", format="litert")
    waveforms = [soundfile.read(example["audio"], dtype="float32")[0] for example in examples[:2]]
    # Two lengths, twice the same length with another text, and too little for a word.
    waveforms += [waveforms[0][::-1], waveforms[0][:1599]]
    paths = [tmp_path / f"{index}.raw" for index in range(len(waveforms))]
    for path, waveform in zip(paths, waveforms, strict=True):
        path.write_bytes(waveform.astype("<f4").tobytes())
    properties = [f"-Dpython={sys.executable}", f"-Dserver={HERE / 'litert_server.py'}"]
    lines = _run(
        ["java", *properties, "-cp", classpath, "RunAppKt"], [tmp_path / "asr.tflite", *paths]
    ).splitlines()
    assert lines[0] == "16000"
    expected = model.transcribe([np.ascontiguousarray(waveform) for waveform in waveforms[:3]])
    assert len(set(expected)) == 3
    assert lines[1:5] == [*expected, ""]
    # The recorder: until its maximum, without a gap; nothing once stopped; released each time.
    assert lines[5:] == ["8000 1.0 8000.0", "0", "true"]


def _run(*parts):
    command = [str(argument) for part in parts for argument in part]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
