"""A bundle of files, as text by their names, and what they leave out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from solver.errors import BadFile
from topologies.writing import write_file


@dataclass(frozen=True)
class ExportedFiles:
    """What an export writes.

    Attributes
    ----------
    files: text by relative path.
    warnings: one sentence for each part of the plan that the target cannot express.
    """

    files: Mapping[str, str]
    warnings: tuple[str, ...]

    def save(self, folder: str | Path) -> None:
        """Write every file; scripts become executable.

        Raises
        ------
        BadInput: a place that cannot be written.
        """
        for name, text in self.files.items():
            path = Path(folder) / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_file(path, text)
                if name.endswith(".sh"):
                    path.chmod(0o755)
            except OSError as error:
                raise BadFile(f"{path}: cannot be written: {error.strerror}") from None


class _Plain(yaml.SafeDumper):
    """Writes equal parts out in full: people edit manifests."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def documents_text(documents: Iterable[Any]) -> str:
    """YAML documents one after the other."""
    text: str = yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=120)
    return text
