"""Read a local file into memory, with what can be wrong with it said clearly."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from ..errors import CountsError

CHUNK = 1 << 22
LARGEST = 4 << 30  # bytes of text; larger studies belong in a sparse format
BOMB_SIZE = 1 << 30
BOMB_RATIO = 100  # tables of counts compress 3- to 30-fold

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:/")
_GZIP = b"\x1f\x8b"


def local_path(path: str | Path) -> Path:
    """Return the path of something on this machine.

    Raises
    ------
    CountsError
        The path looks like a URL, or nothing is there.
    """
    text = str(path)
    if _URL.match(text):
        raise CountsError(f"input must be a local file; {text!r} is an address. Download it first.")
    if "\0" in text:
        raise CountsError(f"a path must not hold a NUL character; found {text!r}.")
    found = Path(text).expanduser()
    if not found.exists():
        raise CountsError(f"input must exist; there is no {text!r}. Check the path.")
    return found


def read_bytes(path: str | Path) -> bytes:
    """Read a regular file, decompressed if it is gzip.

    Raises
    ------
    CountsError
        It is not a readable regular file; it is empty; it is named ``.gz`` but is not gzip, is cut short or
        damaged; or it is larger than 4 GiB, or a compression bomb.
    """
    found = local_path(path)
    if not found.is_file():
        raise CountsError(f"input must be a regular file; {str(path)!r} is not. Give the file itself.")
    try:
        size = found.stat().st_size
        if size > LARGEST:
            raise CountsError(
                f"a table must have at most {LARGEST >> 30} GiB; {str(path)!r} has {size / 2**30:.1f}. Use .h5ad "
                "or a 10x folder."
            )
        with found.open("rb") as file:
            compressed = file.read(2) == _GZIP
        if found.suffix == ".gz" and not compressed and size:
            raise CountsError(f"a .gz file must be gzip; {str(path)!r} is not. Rename it or compress it again.")
        data = _decompressed(found, size) if compressed else found.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CountsError(f"gzip input must be whole; {str(path)!r} is not ({error}). Copy it again.") from None
    except OSError as error:
        raise CountsError(f"input must be readable; {str(path)!r} is not ({error.strerror}).") from None
    if not data.strip():
        raise CountsError(f"a table must not be empty; {str(path)!r} is.")
    return data


def _decompressed(path: Path, size: int) -> bytes:
    chunks: list[bytes] = []
    length = 0
    with gzip.open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            chunks.append(chunk)
            length += len(chunk)
            if length > LARGEST or (length > BOMB_SIZE and length > BOMB_RATIO * size):
                raise CountsError(
                    f"compressed input must unpack to at most {LARGEST >> 30} GiB, and {BOMB_RATIO}-fold above 1 "
                    f"GiB; {str(path)!r} does not ({size} bytes give more than {length}). Unpack it yourself if "
                    "you trust it."
                )
    return b"".join(chunks)


def read_text(path: str | Path) -> str:
    r"""Read a UTF-8 text file, with ``\n`` for every kind of line end and without a byte order mark.

    Raises
    ------
    CountsError
        As `read_bytes`; or the file is UTF-16, binary, or not UTF-8.
    """
    data = read_bytes(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CountsError(f"text must be UTF-8; {str(path)!r} is UTF-16. Save it as UTF-8.")
    if data.startswith(b"PK\x03\x04"):
        raise CountsError(f"a table must be CSV or TSV; {str(path)!r} is a zip or Excel file. Export it as CSV.")
    zero = data.find(b"\0")
    if zero >= 0:
        line = data.count(b"\n", 0, zero) + 1
        raise CountsError(
            f"text must not hold NUL bytes; {str(path)!r} has one on line {line}. It is binary, UTF-16 or damaged: "
            "save it as UTF-8 text."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CountsError(f"text must be UTF-8; line {line} of {str(path)!r} is not. Save it as UTF-8.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
