"""The process that deletes the sources of a run: proves, writes down, deletes, tells.

`… RUN_DIRECTORY`, started by the runner after the transfer ended well, with the list of what the
transfer covers in the run's directory; `… RUN_DIRECTORY put-back` before it, for what a run that
was cut off had moved aside. A process of its own, so that a run that deletes nothing
does not carry the weight, and small enough to be read as a whole: nothing else ever removes a
source. It prints how far it is, one JSON object a line; standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from core.allowed_roots import is_open_allowed, outside_words
from core.open_tree import Tree
from core.preflight import location_faults
from core.runner.claimed_copies import ClaimedCopies
from core.runner.deleting import Deleter, reason_of
from core.runner.deletion_record import DeletionRecord
from core.runner.manifest import MANIFEST_NAME, ManifestWriter, read_manifest
from core.runner.mount_regions import overlap
from core.runner.proof import Cancelled, Copies, Proof, Unproven
from core.runner.selected_files import SELECTED_NAME, read_names
from core.runner.trash import FOLDER, Trash, put_back_cut_off, trash_top
from models.errors import InvalidDocument, OutsideRoots
from models.run_spec import TRASH_FOLDER, RunSpec
from models.source_deletions import PUT_BACK, DeletionOutcome

EXIT_DONE, EXIT_FAILED, EXIT_STOPPED, EXIT_REFUSED = 0, 1, 3, 4
_BATCH_FILES = 256
_BATCH_BYTES = 1024**3
"""How much is proven and written down together before it is deleted: one sync for all of it."""
_TELL_SECONDS = 0.1
_MOST_DEVICES = 64
_STOPPED = "The run was stopped before it was deleted."
_REFUSED_OVERLAP = "Source and destination share a part of one file system."


class Refused(Exception):
    """Nothing may be deleted; the message says why, as a sentence."""


class Voice:
    """Tells the runner how far it is, ten times a second; hears when it is to stop."""

    def __init__(self) -> None:
        self.files = self.bytes = 0
        self.counts = dict.fromkeys(DeletionOutcome, 0)
        self.is_stopped = False
        self._name = b""
        self._next = 0.0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def read(self, count: int) -> None:
        """Count bytes that were read of a file. Raises Cancelled when a stop was asked for."""
        self.bytes += count
        self.tell()
        if self.is_stopped:
            raise Cancelled

    def read_again(self, _count: int) -> None:
        """Hear of bytes that were counted before. Raises Cancelled when a stop was asked for."""
        self.read(0)

    def looks_at(self, name: bytes) -> None:
        """Count a file that is looked at now."""
        self.files += 1
        self._name = name
        self.tell()

    def count(self, outcome: DeletionOutcome) -> None:
        """Count what became of a file."""
        self.counts[outcome] += 1

    def tell(self, message: str | None = None, *, at_once: bool = False) -> None:
        """Print how far it is; nothing when it was printed a moment ago."""
        now = time.monotonic()
        if now < self._next and not at_once:
            return
        self._next = now + _TELL_SECONDS
        document: dict[str, object] = {
            "files": self.files,
            "bytes": self.bytes,
            "name": os.fsdecode(self._name),
            "message": message,
            **{str(outcome): count for outcome, count in self.counts.items()},
        }
        try:
            sys.stdout.write(json.dumps(document) + "\n")
            sys.stdout.flush()
        except OSError:
            self.is_stopped = True  # The runner is gone: nothing is deleted behind its back.

    def _stop(self, _number: int, _frame: object) -> None:
        self.is_stopped = True


class Syncs:
    """Has file systems of the destination write what they hold in memory (syncfs(2))."""

    def __init__(self, top: int) -> None:
        self._syncfs = ctypes.CDLL(None, use_errno=True).syncfs
        self._descriptors = {os.fstat(top).st_dev: top}

    def include(self, descriptor: int, facts: os.stat_result) -> None:
        """Sync the file system of a file unless that was done before. Raises OSError."""
        if facts.st_dev in self._descriptors:
            return
        if len(self._descriptors) >= _MOST_DEVICES:
            raise Unproven("The destination has too many file systems beneath it.")
        self._sync(descriptor)
        self._descriptors[facts.st_dev] = os.dup(descriptor)

    def all(self) -> None:
        """Sync every file system that a copy was found on. Raises OSError."""
        for descriptor in self._descriptors.values():
            self._sync(descriptor)

    def _sync(self, descriptor: int) -> None:
        if self._syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(
                number, f"The copies could not be written to the disk: {os.strerror(number)}"
            )


class SourceDeletion:
    """Deletes what is proven of one run's source."""

    def __init__(self, spec: RunSpec, directory: str, voice: Voice) -> None:
        self._spec = spec
        self._directory = directory
        self._voice = voice
        self._is_folder = os.path.isdir(spec.source)
        self._source = Tree.at(spec.source if self._is_folder else os.path.dirname(spec.source))
        self._destination = Tree.at(spec.destination)
        # What proves that the disk is there proves it the next time too.
        self._marker = os.fsencode(os.path.normpath(spec.source_marker or ""))
        self._syncs = Syncs(self._destination.top)
        self._copies = Copies(
            voice.read, sync=self._syncs.include, claim=ClaimedCopies(directory).claim
        )

    def perform(self) -> str | None:
        """Do it; returns what a person should know of what stays, as a sentence, or None.

        Raises Refused, Cancelled, OSError; what is not proven is then still there.
        """
        self._refuse_overlap()
        record = DeletionRecord(self._directory)
        try:
            if self._spec.source_deletion == "per_file":
                self._delete_each(record)
            else:
                self._delete_all_or_nothing(record)
        finally:
            record.close()
        kept = self._voice.counts[DeletionOutcome.KEPT]
        if not kept:
            return None
        files = "file was" if kept == 1 else "files were"
        return f"{kept:,} {files} kept at the source: see the list of deletions for the reasons."

    def _refuse_overlap(self) -> None:
        spec = self._spec
        # By what is open: all that follows goes from there, and no link that is put in the way.
        for field, tree in (("Source", self._source), ("Destination", self._destination)):
            if not is_open_allowed(tree.top, spec.allowed_roots):
                raise Refused(f"{field}: {outside_words(spec.allowed_roots)}")
        faults = location_faults(spec.source, spec.destination)
        if faults:
            raise Refused(" ".join(f"{fault.field.title()}: {fault.message}" for fault in faults))
        if overlap(spec.source, spec.destination):
            raise Refused(_REFUSED_OVERLAP)

    def _delete_each(self, record: DeletionRecord) -> None:
        with ManifestWriter(self._path(MANIFEST_NAME)) as manifest:
            proofs = self._proofs(record, manifest)
            self._delete_in_batches(record, proofs)

    def _delete_all_or_nothing(self, record: DeletionRecord) -> None:
        with ManifestWriter(self._path(MANIFEST_NAME)) as manifest:
            for _ in self._proofs(record, manifest):
                pass
        unproven = self._voice.counts[DeletionOutcome.KEPT]
        if unproven:
            files = "1 file has" if unproven == 1 else f"{unproven:,} files have"
            raise Refused(
                f"Nothing was deleted at the source: {files} no proven copy. The list of deletions "
                "names them with the reasons."
            )
        self._delete_in_batches(record, read_manifest(self._path(MANIFEST_NAME)))

    def _proofs(self, record: DeletionRecord, manifest: ManifestWriter) -> Iterator[Proof]:
        """Yield the proof of each file that has one, as it stands in the manifest; the others are
        put on record as kept."""
        for name in read_names(self._path(SELECTED_NAME)):
            if self._voice.is_stopped:
                raise Cancelled
            if FOLDER in name.split(b"/") or name == self._marker:
                continue
            self._voice.looks_at(name)
            try:
                with (
                    self._source.place(name) as source,
                    self._destination.place(name) as copy,
                ):
                    proof = self._copies.prove(name, source, copy)
            except Unproven as unproven:
                self._keep(record, name, str(unproven))
            except OSError as error:
                self._keep(record, name, f"Its copy could not be proven: {reason_of(error)}")
            else:
                manifest.write(proof)
                yield proof

    def _keep(self, record: DeletionRecord, name: bytes, reason: str) -> None:
        record.keep(name, reason)
        self._voice.count(DeletionOutcome.KEPT)

    def _delete_in_batches(self, record: DeletionRecord, proofs: Iterator[Proof]) -> None:
        with ExitStack() as stack:
            deleter = None
            for batch in _batches(proofs):
                deleter = deleter or self._deleter(stack)
                # After the last write to any copy, and before anything is deleted.
                self._syncs.all()
                self._delete_batch(record, deleter, batch)

    def _deleter(self, stack: ExitStack) -> Deleter:
        keeps_trash = self._spec.trash_days is not None
        trash = Trash(self._source, self._spec.run_id, remembers_folders=keeps_trash)
        stack.callback(trash.close)
        return Deleter(
            self._source,
            self._destination,
            trash,
            keeps_trash=keeps_trash,
            tick=self._voice.read_again,
        )

    def _delete_batch(self, record: DeletionRecord, deleter: Deleter, batch: list[Proof]) -> None:
        numbers = record.intend(batch)
        for position, proof in enumerate(batch):
            try:
                if self._voice.is_stopped:
                    raise Cancelled
                outcome, reason = deleter.delete(proof)
            except Cancelled:
                for number in numbers[position:]:
                    record.tell(number, DeletionOutcome.KEPT, _STOPPED)
                raise
            record.tell(numbers[position], outcome, reason)
            self._voice.count(outcome)
            self._voice.tell()
        if self._spec.delete_empty_directories and self._is_folder:
            folders = {proof.name.rpartition(b"/")[0]: proof.name for proof in batch}
            for name in folders.values():
                self._source.remove_empty_folders(name)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)


def put_back(spec: RunSpec) -> str | None:
    """Put back what runs that were cut off had moved aside at this source; returns what a person
    should know of it, as a sentence, or None. Raises Refused, OSError."""
    top = trash_top(spec.source)
    try:
        done = put_back_cut_off(top, tell=lambda _name, _reason: None, roots=spec.allowed_roots)
    except OutsideRoots as error:
        raise Refused(f"Source: {error.reason}") from error
    told = []
    if done.restored:
        were = "file was" if done.restored == 1 else "files were"
        told.append(
            f"{done.restored:,} {were} put back at the source: a run that was cut off had moved "
            "them aside to delete them."
        )
    if done.stayed:
        lie = "file lies" if done.stayed == 1 else "files lie"
        told.append(
            f"{done.stayed:,} {lie} in {TRASH_FOLDER} since a run was cut off and cannot be put "
            "back: another file has the name by now."
        )
    return " ".join(told) or None


def main(arguments: list[str]) -> int:
    """Delete the sources of the run with this directory; returns an exit code."""
    directory, *command = arguments
    voice = Voice()
    try:
        with open(os.path.join(directory, "spec.json"), "rb") as file:
            spec = RunSpec.from_document(json.load(file))
        if command == [PUT_BACK]:
            message = put_back(spec)
        else:
            message = SourceDeletion(spec, directory, voice).perform()
    except Cancelled:
        voice.tell(at_once=True)
        return EXIT_STOPPED
    except Refused as refused:
        voice.tell(str(refused), at_once=True)
        return EXIT_REFUSED
    except (OSError, ValueError, InvalidDocument) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        voice.tell(f"The deletion of sources ended: {reason}.", at_once=True)
        return EXIT_FAILED
    voice.tell(message, at_once=True)
    return EXIT_DONE


def _batches(proofs: Iterator[Proof]) -> Iterator[list[Proof]]:
    batch: list[Proof] = []
    size = 0
    for proof in proofs:
        batch.append(proof)
        size += proof.size
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
