"""Putting files on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from biggan_discovery.errors import UserError
from biggan_discovery.generators.hub import Address, in_one_line, library


def push(files: Mapping[str, Path], address: Address, *, private: bool = False, message: str) -> str:
    """Put files into a model repository, which is made if there is none, in one commit.

    Args:
        files: by their path in the repository; those that are there are replaced.
        address: of the repository; its path is not used.
        private: make a new repository private.
        message: of the commit.

    Returns:
        The web address of the repository.

    Raises:
        UserError: huggingface_hub is missing, the Hub cannot be reached, or does not let this user write there.

    Example:
        >>> push({"directions.safetensors": Path("found.safetensors")}, Address("someone/cones"), message="Cones")
        'https://huggingface.co/someone/cones'
    """
    hub = library()
    api = hub.HfApi()
    with in_one_line(address):
        try:
            created = api.create_repo(address.repo, private=private, exist_ok=True)
            operations = [
                hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(path)) for name, path in files.items()
            ]
            api.create_commit(address.repo, operations, commit_message=message, revision=address.revision)
        except (hub.errors.HfHubHTTPError, hub.errors.LocalTokenNotFoundError) as error:
            if getattr(getattr(error, "response", None), "status_code", 401) not in (401, 403):
                raise
            raise UserError(
                f"you cannot write to {address.repo} on {api.endpoint}; log in with `hf auth login`, or set HF_TOKEN "
                "to a token that may write"
            ) from error
    return str(created)
