import datetime

import pytest

from keras_contextnet.interop.nemo import NemoFileError
from keras_contextnet.interop.nemo.settings import Settings, read_settings

YAML = b"""
encoder:
  jasper:
  - {kernel: [5], stride: 2, dropout: 1e-5, residual: false, groups: null}
  - {kernel: [3, 5]}
labels: [' ', a]
made: 2021-05-01
"""


@pytest.fixture
def block():
    return read_settings(YAML).section("encoder").sections("jasper")[0]


def test_values_have_their_types(block):
    assert block.integer("kernel") == 5
    assert block.integer("stride") == 2
    assert block.number("dropout") == 1e-5  # text in YAML 1.1, for want of a point
    assert block.flag("residual") is False
    assert block.text("mode", "add") == "add"
    assert read_settings(YAML).texts("labels") == [" ", "a"]
    assert read_settings(YAML).get("made") == datetime.date(2021, 5, 1)


def test_null_is_the_default_where_it_does_not_mean_off(block):
    assert block.integer("groups", 1) == 1
    assert block.is_null("groups")
    assert not block.is_null("heads")
    assert "groups" not in block
    assert "stride" in block


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda block: block.integer("dropout"), r"dropout to be an integer.*Received: '1e-5'"),
        (lambda block: block.integer("residual"), r"residual to be an integer.*Received: False"),
        (lambda block: block.integer("heads"), r"the setting encoder\.jasper\[0\]\.heads. It is m"),
        (lambda block: block.integer("stride", at_least=3), r"integer of at least 3.*Received: 2"),
        (lambda block: block.number("kernel"), r"kernel to be a number.*Received: \[5\]"),
        (lambda block: block.number("dropout", at_least=1.0), r"a number of at least 1\.0"),
        (lambda block: block.text("stride"), r"stride to be text\. Received: 2"),
        (lambda block: block.texts("kernel"), r"kernel to be a list of texts. Received: \[5\]"),
        (lambda block: block.flag("stride"), r"stride to be true or false"),
        (lambda block: block.section("stride"), r"stride to be a section"),
        (lambda block: block.sections("kernel"), r"kernel to be a list of sections"),
        (
            lambda block: block.require("stride", 1, 1, 3),
            r"setting encoder\.jasper\[0\]\.stride is not supported.*Received: 2\. Supported: 1, 3",
        ),
    ],
)
def test_errors_name_the_setting(read, message, block):
    with pytest.raises(NemoFileError, match=message):
        read(block)


def test_a_list_of_one_is_its_entry(block):
    assert block.require("kernel", 3, 5) == 5
    with pytest.raises(NemoFileError, match=r"Received: \[3, 5\]"):
        read_settings(YAML).section("encoder").sections("jasper")[1].integer("kernel")


@pytest.mark.parametrize(
    "data",
    [
        b"a: [1",
        b"\xff\xfe\x00",
        b"- 1",
        b"text",
        b"",
        b"a: !!python/object/apply:os.system ['true']",
        b"[" * 100_000,
    ],
    ids=["unclosed", "bytes", "list", "text", "empty", "code", "deep"],
)
def test_what_is_no_section_of_plain_yaml_is_an_error(data):
    with pytest.raises(NemoFileError, match=r"Expected model_config\.yaml"):
        read_settings(data)


def test_an_empty_section_where_none_is_needed():
    assert Settings({}).section("decoding", required=False).integer("beam", 3) == 3
    with pytest.raises(NemoFileError, match=r"the setting decoder\. It is missing"):
        Settings({}).section("decoder")
