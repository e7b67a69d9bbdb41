"""Files that are whole or not there: written beside their place and moved into it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from topologies.errors import BadInput


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A place with the same ending to write to; what lies at ``path`` stays until all is written.

    A device or pipe is written to directly, and a link keeps pointing where it does.

    Raises
    ------
    BadInput: the place cannot be written.
    """
    named = Path(path)
    target = named.resolve()
    beside: Path | None = None
    try:
        if target.exists() and not target.is_file():
            yield target
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}.", suffix=target.suffix, dir=target.parent)
        os.close(descriptor)
        beside = Path(name)
        beside.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
        yield beside
        beside.replace(target)
    except OSError as error:
        raise BadInput(f"{named}: cannot be written: {error.strerror or error}") from None
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file, whole or not at all; text as UTF-8.

    Raises
    ------
    BadInput: the place cannot be written.
    """
    with replacing(path) as place:
        place.write_bytes(content.encode() if isinstance(content, str) else content)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
