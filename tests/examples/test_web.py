"""examples/web in headless Chromium: its text is Python's, and it says what goes wrong."""

import functools
import http.server
import os
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from chromium import Chromium, find_chromium

import keras_contextnet as kc

WEB = Path(__file__).parents[2] / "examples" / "web"
NEMO = Path(__file__).parents[1] / "interop" / "nemo_files"

pytestmark = [
    pytest.mark.tensorflow_only,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium on the PATH"),
    pytest.mark.skipif(not (WEB / "vendor").exists(), reason="needs `npm install` in examples/web"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder like examples/web, where tests put their files."""
    folder = tmp_path_factory.mktemp("site")
    for path in WEB.iterdir():
        if path.name != "node_modules":
            os.symlink(path, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def speech(site, examples):
    """An utterance as a WAV, which every decoder reads alike."""
    audio, sample_rate = soundfile.read(examples[3]["audio"], dtype="float32")
    soundfile.write(site / "speech.wav", audio, sample_rate, subtype="PCM_16")
    return site / "speech.wav"


@pytest.fixture(scope="module")
def characters(site, make_contextnet):
    """A model that spells, as `python -m http.server` would serve it."""
    folder = site / "characters"
    folder.mkdir()
    make_contextnet().export(folder / "asr.tflite", format="litert")
    return folder / "asr.tflite"


@pytest.fixture(scope="module")
def pieces(site):
    """A model converted from NeMo, with word pieces."""
    folder = site / "pieces"
    folder.mkdir()
    model = kc.ContextNet.from_nemo(NEMO / "aggregate.nemo")
    model.export(folder / "asr.tflite", format="litert")
    return folder / "asr.tflite"


@pytest.fixture(scope="module")
def address(site):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory, speech):
    browser = Chromium(
        tmp_path_factory.mktemp("profile"),
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={speech}",
    )
    yield browser
    browser.close()


@pytest.fixture
def page(browser, address):
    """Opens the page with a query and waits until it is done, or fails with what it shows."""

    def open_page(query="", state="done"):
        browser.open(address + query)
        wait_for_state(browser, state)
        return browser

    return open_page


def wait_for_state(browser, state):
    browser.wait_for(f"['{state}', 'error'].includes(document.body?.dataset.state)")
    error = browser.evaluate("document.getElementById('error').textContent")
    assert browser.evaluate("document.body.dataset.state") == state, error


def text_of(browser):
    return browser.evaluate("document.getElementById('transcript').textContent")


def error_of(browser):
    return browser.evaluate("document.getElementById('error').innerText")


def python_text(tflite, wav):
    """What examples/litert_transcribe.py prints."""
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
    with zipfile.ZipFile(tflite) as files:
        pieces = files.read("tokens.txt").decode("utf-8").split("\n")
    audio = soundfile.read(wav, dtype="float32")[0]
    transcribe = runtime.Interpreter(str(tflite)).get_signature_runner("transcribe")
    outputs = transcribe(audio=audio[None], audio_length=np.array([len(audio)], np.int32))
    tokens = outputs["tokens"][0, : outputs["token_length"][0]]
    return "".join(pieces[token] for token in tokens).replace("▁", " ").strip()


@pytest.mark.parametrize("model", ["characters", "pieces"])
def test_the_text_is_pythons(page, request, model, site, speech):
    tflite = request.getfixturevalue(model)
    expected = python_text(tflite, speech)
    assert len(set(expected)) > 5
    browser = page(f"?model={tflite.relative_to(site)}&audio=speech.wav")
    assert text_of(browser) == expected


def test_files_are_chosen_one_after_the_other(page, browser, characters, pieces, speech):
    page(state="empty")
    for tflite in (characters, pieces):
        browser.choose_file("#model-file", tflite)
        wait_for_state(browser, "ready")
        for _ in range(2):  # The second time the model is compiled for this length already.
            browser.evaluate("document.getElementById('transcript').replaceChildren()")
            browser.choose_file("#audio-file", speech)
            browser.wait_for("document.getElementById('transcript').textContent !== ''")
            wait_for_state(browser, "done")
            assert text_of(browser) == python_text(tflite, speech)


def test_files_are_dropped(page, browser, characters, speech):
    page(state="empty")
    browser.evaluate(
        """(async () => {
            const dataTransfer = new DataTransfer();
            for (const name of ["speech.wav", "characters/asr.tflite"]) {
                const blob = await (await fetch(name)).blob();
                dataTransfer.items.add(new File([blob], name));
            }
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
        })()"""
    )
    wait_for_state(browser, "done")
    assert text_of(browser) == python_text(characters, speech)


def test_long_audio_is_cut_at_pauses(page, browser, site, characters, examples):
    audio = np.concatenate([soundfile.read(example["audio"])[0] for example in examples])
    assert len(audio) > 32 * 16000
    soundfile.write(site / "long.wav", audio, 16000)
    page("?model=characters/asr.tflite&audio=long.wav")
    times = browser.evaluate(
        "Array.from(document.querySelectorAll('#transcript span'), s => Number(s.dataset.time))"
    )
    assert times == sorted(times)
    assert times[0] < 5
    assert 30 < times[-1] < len(audio) / 16000


def test_the_microphone_is_transcribed_as_it_goes(page, browser, characters):
    browser.call("Browser.grantPermissions", permissions=["audioCapture"])
    page("?model=characters/asr.tflite", state="ready")
    browser.evaluate("document.getElementById('record').click()")
    wait_for_state(browser, "recording")
    browser.wait_for("document.querySelector('#transcript .fresh') !== null")
    browser.evaluate("document.getElementById('record').click()")
    wait_for_state(browser, "done")
    assert text_of(browser)
    assert browser.evaluate("document.querySelector('#transcript .fresh') === null")
    assert browser.evaluate("document.getElementById('player').duration") > 1
    browser.call("Browser.resetPermissions")


def test_a_refused_microphone_is_explained(page, browser, characters):
    browser.call("Browser.setPermission", permission={"name": "microphone"}, setting="denied")
    page("?model=characters/asr.tflite", state="ready")
    browser.evaluate("document.getElementById('record').click()")
    browser.wait_for("document.body.dataset.state === 'error'")
    assert "may not use the microphone" in error_of(browser)
    browser.call("Browser.resetPermissions")


@pytest.fixture(scope="module")
def broken(site, characters):
    """Files that the page must refuse."""
    graph = zipfile.ZipFile(characters)
    start = min(entry.header_offset for entry in graph.infolist())
    (site / "bare.tflite").write_bytes(characters.read_bytes()[:start])
    shutil.copy(site / "bare.tflite", site / "no_vocabulary.tflite")
    with zipfile.ZipFile(site / "no_vocabulary.tflite", "a") as files:
        files.writestr("metadata.json", graph.read("metadata.json"))
    (site / "text.tflite").write_text("This is no model.")
    (site / "text.wav").write_text("This is no sound.")
    soundfile.write(site / "short.wav", np.zeros(400, "float32"), 16000)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?model=text.tflite", "not a .tflite file"),
        ("?model=bare.tflite", "not exported by keras-contextnet"),
        ("?model=no_vocabulary.tflite", "has no vocabulary"),
        ("?model=missing.tflite", "cannot be fetched: 404"),
        ("?audio=speech.wav", "Choose a model first"),
        ("?model=characters/asr.tflite&audio=text.wav", "cannot read this as audio"),
        ("?model=characters/asr.tflite&audio=short.wav", "too short: 0.03 s"),
    ],
)
@pytest.mark.usefixtures("broken")
def test_errors_are_explained(page, query, message):
    browser = page(query, state="error")
    assert message in error_of(browser)
