from __future__ import annotations

import base64
import copy
import os
import pickle
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.seal import NoSeal, Seal, SealError, load_seal
from clova_ocr_async.protocol.echoed_input import quoted

if TYPE_CHECKING:
    from types import ModuleType

KEY = bytes(range(200, 232))
OTHER_KEY = bytes(range(32))
NONCE = b"twelve bytes"
WAYS = {
    "standard": base64.b64encode(KEY).decode(),
    "url-safe": base64.urlsafe_b64encode(KEY).decode(),
    "unpadded": base64.urlsafe_b64encode(KEY).decode().rstrip("="),
    "hex": KEY.hex(),
    "upper hex": KEY.hex().upper(),
}


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> str:
    """Write a key file."""
    path = folder / "run.key"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def opens(seal: Seal) -> bool:
    """Return whether a seal has the key."""
    return seal.open(AESGCMSeal(KEY).seal(b"plain", b"context"), b"context") == b"plain"


@given(st.binary(max_size=200), st.binary(max_size=40), st.binary(min_size=32, max_size=32))
def test_sealed_bytes_open_again(plain: bytes, context: bytes, key: bytes) -> None:
    """Any bytes come back under the same key and context, and two seals of the same bytes have nothing in common."""
    seal = AESGCMSeal(key)
    sealed = seal.seal(plain, context)
    assert seal.open(sealed, context) == plain
    assert seal.seal(plain, context)[1:13] != sealed[1:13]


def test_the_layout_of_sealed_bytes() -> None:
    """The layout is version, nonce, and AES-256-GCM over version and context: later versions must still open it."""
    sealed = AESGCMSeal(KEY, nonce=lambda: NONCE).seal(b"plain", b"context")
    assert sealed == b"\x01" + NONCE + AESGCM(KEY).encrypt(NONCE, b"plain", b"\x01context")


def test_nothing_else_opens_it() -> None:
    """Another key or context, a changed byte and a lost end are refused, and the error has nothing of the content."""
    seal = AESGCMSeal(KEY)
    sealed = seal.seal(b"canary", b"context")
    changed = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    cut = [sealed[:length] for length in range(len(sealed))]
    tries = [(AESGCMSeal(OTHER_KEY), sealed, b"context"), (seal, sealed, b"other"), (seal, sealed + b"\0", b"context")]
    for opener, stored, context in [*tries, *((seal, wrong, b"context") for wrong in [*changed, *cut, b"canary"])]:
        with pytest.raises(SealError) as refused:
            opener.open(stored, context)
        assert "canary" not in "".join(traceback.format_exception(refused.value))
    assert isinstance(refused.value, ConfigurationError)


def test_the_key_does_not_leave_its_seal() -> None:
    """A seal shows no key, and is neither pickled nor copied."""
    seal = AESGCMSeal(KEY)
    assert repr(seal) == str(seal) == "AESGCMSeal('***')"
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            leave(seal)


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_key_of_another_length(length: int) -> None:
    """Only 256 bits are a key, although AES knows shorter ones."""
    with pytest.raises(ConfigurationError, match=f"the key has {length} bytes; it must have 32"):
        AESGCMSeal(bytes(length))


def test_no_seal_leaves_bytes_as_they_are() -> None:
    """Without a key bytes are stored and read as they are, under a name that says so."""
    seal = NoSeal()
    assert (seal.name, seal.seal(b"plain", b"context"), seal.open(b"plain", b"other")) == ("none", b"plain", b"plain")


def test_without_a_key_there_is_no_seal() -> None:
    """Without a file and a variable nothing is sealed, and nothing is imported."""

    def load(_: str) -> ModuleType:
        raise AssertionError

    assert isinstance(load_seal(None, {"CLOVA_OCR_SECRET": "x"}, load), NoSeal)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("way", WAYS)
def test_a_key_as_text(tmp_path: Path, way: str, end: str) -> None:
    """A key is read as base64 or hex, from a file, a variable, or a file that a variable names."""
    text = WAYS[way] + end
    path = key_file(tmp_path, text.encode())
    for seal in (
        load_seal(path, {}),
        load_seal(None, {"CLOVA_OCR_KEY": text}),
        load_seal(None, {"CLOVA_OCR_KEY_FILE": path}),
    ):
        assert seal.name == "aes-256-gcm"
        assert opens(seal)


@pytest.mark.parametrize("key", [KEY, b"\n" * 31 + b" ", b"f" * 32])
def test_a_raw_key(tmp_path: Path, key: bytes) -> None:
    """A file of 32 bytes is the key, whatever they are."""
    seal = load_seal(key_file(tmp_path, key), {})
    assert seal.open(AESGCMSeal(key).seal(b"plain", b""), b"") == b"plain"


def test_which_key_wins(tmp_path: Path) -> None:
    """The file that was given wins over the variables, and the key over a file's name."""
    path = key_file(tmp_path, KEY)
    other = base64.b64encode(OTHER_KEY).decode()
    assert opens(load_seal(path, {"CLOVA_OCR_KEY": other, "CLOVA_OCR_KEY_FILE": "nowhere"}))
    assert opens(load_seal(None, {"CLOVA_OCR_KEY": WAYS["hex"], "CLOVA_OCR_KEY_FILE": "nowhere"}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"canary",
        b"canary" * 20,
        b"f" * 63,
        b"canary\xff" * 200,
        WAYS["hex"].encode() * 2,
        b"=" * 44,
        KEY[1:],
    ],
    ids=range(9),
)
def test_a_value_that_is_not_a_key(tmp_path: Path, content: bytes) -> None:
    """A file or variable without a key is named, with the way to make a key, and never with its content."""
    path = key_file(tmp_path, content)
    tries: list[tuple[str | None, dict[str, str], str]] = [
        (path, {}, f"key file {quoted(path)} does not hold a key"),
        (None, {"CLOVA_OCR_KEY_FILE": path}, f"CLOVA_OCR_KEY_FILE: key file {quoted(path)} does not hold a key"),
        (None, {"CLOVA_OCR_KEY": content.decode("latin-1")}, "CLOVA_OCR_KEY does not hold a key"),
    ]
    for file, environ, subject in tries:
        with pytest.raises(ConfigurationError) as refused:
            load_seal(file, environ)
        assert str(refused.value).startswith(subject)
        assert "openssl rand -base64 32" in str(refused.value)
        assert "canary" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("name", ["CLOVA_OCR_KEY", "CLOVA_OCR_KEY_FILE"])
def test_a_variable_that_is_set_and_empty(name: str) -> None:
    """An empty variable is refused: taken for "no key" it would leave answers readable by mistake."""
    with pytest.raises(ConfigurationError, match=name):
        load_seal(None, {name: ""})


def test_a_key_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file is refused with the way to make a key; a folder and a NUL character are refused by name."""
    for path, why in (
        (str(tmp_path / "missing"), "no such file; make one with: (umask 077; openssl rand -base64 32 > FILE)"),
        (str(tmp_path), "Is a directory"),
        ("run\0.key", "the path has a NUL character"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            load_seal(path, {})
        assert str(refused.value).startswith(f"key file {quoted(path)}: {why}")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o666, 0o777])
def test_a_key_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    """A key file that other users can read is refused with its mode and the way to close it, through a link too."""
    path = key_file(tmp_path, KEY, mode)
    link = tmp_path / "link"
    link.symlink_to(path)
    for name in (path, str(link)):
        with pytest.raises(ConfigurationError, match=rf"mode {mode:04o}\); close it with chmod 600"):
            load_seal(name, {})
    Path(path).chmod(0o600)
    assert opens(load_seal(str(link), {}))


def test_without_the_extra() -> None:
    """A key without the library is refused with the install command; nothing is stored unsealed in silence."""

    def load(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name}")

    with pytest.raises(ConfigurationError, match=r"pip install 'clova-ocr-async\[crypto\]'"):
        load_seal(None, {"CLOVA_OCR_KEY": WAYS["hex"]}, load)


@pytest.mark.parametrize(
    "spelling", ["'{}'", '"{}"\r\n', "\ufeff{}\n", "CLOVA_OCR_KEY={}", "export CLOVA_OCR_KEY='{}'"]
)
def test_copied_quotes_and_names_are_not_part_of_a_key(tmp_path: Path, spelling: str) -> None:
    """A key is read without the quotes, line ends, byte order mark or name that were copied with it."""
    text = spelling.format(WAYS["standard"])
    assert opens(load_seal(None, {"CLOVA_OCR_KEY": text}))
    assert opens(load_seal(key_file(tmp_path, text.encode()), {}))
    path = key_file(tmp_path, text.encode("utf-16"))
    assert opens(load_seal(None, {"CLOVA_OCR_KEY_FILE": f'"{path}"'}))


def test_a_tilde_in_the_variable_of_a_key_file_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ~ in the variable is expanded, as no shell does that."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert opens(load_seal(None, {"CLOVA_OCR_KEY_FILE": f"~/{Path(key_file(tmp_path, KEY)).name}"}))


@pytest.mark.parametrize("way", WAYS)
def test_a_key_in_the_place_of_its_file_is_not_shown(way: str) -> None:
    """A key that was given where the path of its file belongs is refused with that reason, and not repeated."""
    for given_key, environ in ((WAYS[way], {}), (None, {"CLOVA_OCR_KEY_FILE": WAYS[way]})):
        with pytest.raises(ConfigurationError, match="a key is given where the path of its file belongs") as refused:
            load_seal(given_key, environ)
        assert WAYS[way] not in "".join(traceback.format_exception(refused.value))


def test_a_quote_at_one_end_of_a_key_is_refused_by_its_variable() -> None:
    """A quote without its partner is refused by the name of the variable."""
    with pytest.raises(ConfigurationError, match="CLOVA_OCR_KEY: a quote stands at one end"):
        load_seal(None, {"CLOVA_OCR_KEY": f"'{WAYS['hex']}"})
