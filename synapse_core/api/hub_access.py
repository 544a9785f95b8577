"""huggingface_hub behind a few calls, its errors as ours. It is imported when first used."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from synapse_core.errors import FileError, SynapseError, Unavailable, UsageError

# What a killed download leaves behind since huggingface_hub 2: a part of its process's own.
_ORPHAN = re.compile(r"(.+)\.[0-9a-f]{8}\.incomplete")
# An empty file that huggingface_hub makes for a moment to learn the umask; it can do without.
_PROBE = re.compile(r"tmp_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@attrs.frozen
class Hub:
    """The hub as this environment has it: HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE."""

    package: Any
    constants: Any

    @property
    def cache(self) -> Path:
        """The folder of its cache."""
        return Path(self.constants.HF_HUB_CACHE)

    @property
    def offline(self) -> bool:
        """Whether the network may not be used."""
        return bool(self.constants.HF_HUB_OFFLINE)

    def list_files(self, repository: str, revision: str) -> tuple[str, list[str]]:
        """Return the commit that a revision is now, and the names of its files."""
        info = self.package.HfApi().model_info(repository, revision=revision)
        return str(info.sha), [str(file.rfilename) for file in info.siblings or ()]

    def download(self, repository: str, revision: str, files: Sequence[str]) -> Path:
        """Download files that are not in the cache; return the folder of their snapshot."""
        from glob import escape

        self._sweep(repository)
        folder = self.package.snapshot_download(
            repository,
            revision=revision,
            # An empty list would mean none to newer versions and all to older ones.
            allow_patterns=[escape(file) for file in files] or ["/"],
        )
        return Path(folder)

    def _sweep(self, repository: str) -> None:
        """Remove what killed downloads left: parts of blobs whose locks nobody holds, probes."""
        from filelock import FileLock, Timeout

        home = f"models--{repository.replace('/', '--')}"
        blobs, locks = self.cache / home / "blobs", self.cache / ".locks" / home
        with suppress(OSError):
            for name in os.listdir(blobs):
                if _PROBE.fullmatch(name):
                    with suppress(OSError):
                        (blobs / name).unlink()
                orphan = _ORPHAN.fullmatch(name)
                if orphan is None:
                    continue
                with suppress(OSError, Timeout), FileLock(locks / f"{orphan[1]}.lock", timeout=0):
                    (blobs / name).unlink()


@contextmanager
def access(model: str, *, progress: bool = False) -> Iterator[Hub]:
    """Import the package and say its errors in our words.

    Raises: Unavailable, UsageError or FileError, in one line that names the model.
    """
    try:
        package = importlib.import_module("huggingface_hub")
        constants = importlib.import_module("huggingface_hub.constants")
        errors = importlib.import_module("huggingface_hub.errors")
        utils = importlib.import_module("huggingface_hub.utils")
    except ImportError:
        raise Unavailable(
            f"{model}: models of the hub need huggingface_hub: pip install 'synapse[hub]'"
        ) from None
    utils.logging.set_verbosity_error()
    if not progress:
        utils.disable_progress_bars()
    endpoint = str(constants.ENDPOINT)
    try:
        yield Hub(package, constants)
    except SynapseError:
        raise
    except errors.GatedRepoError:
        raise Unavailable(
            f"{model} is gated: accept its terms on its page, then `hf auth login` or set HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UsageError(
            f"{model}: {endpoint} has no such model, or it is private and you are not logged in"
        ) from None
    except errors.RevisionNotFoundError:
        raise UsageError(f"{model}: there is no such revision of it") from None
    except errors.HFValidationError as error:
        raise UsageError(f"{model}: {error}") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        raise Unavailable(f"{model}: {endpoint} answered {status}") from None
    except (errors.HTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        reason = str(error.__cause__ or error).partition("\n")[0][:200]
        raise Unavailable(f"{model}: {endpoint} cannot be reached: {reason}") from None
    except OSError as error:
        if error.errno is None:
            reason = str(error).partition("\n")[0][:200]
            raise Unavailable(f"{model}: the download failed: {reason}") from None
        place = error.filename or constants.HF_HUB_CACHE
        raise FileError(place, f"cannot be written: {error.strerror}") from None
