"""`process_file`: works on a file in `files_dir`, or on the uploaded body of the job.

Everything streams: memory stays flat at any size. The work is done in a thread, and every read is
a checkpoint, so that a timeout or cancel stops it within a megabyte.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..config import Settings
from ..errors import Fail, InvalidInput
from ..registry import Ctx, Handler
from .archives import Compress, CompressResult, Decompress, DecompressResult, compress, decompressor
from .contents import Checksum, ChecksumResult, Count, CountResult, checksum, count
from .files import FileInput, Source, check_path, open_in_jail, open_upload
from .json_lines import JsonLinesResult, JsonLinesSummary, json_lines_summary
from .outputs import Outputs
from .tables import CsvResult, CsvSummary, csv_summary
from .thumbnails import Thumbnail, ThumbnailResult, thumbnail

Operation = Checksum | Count | Compress | Decompress | CsvSummary | JsonLinesSummary | Thumbnail
Result = (
    ChecksumResult
    | CountResult
    | CompressResult
    | DecompressResult
    | CsvResult
    | JsonLinesResult
    | ThumbnailResult
)

_NO_FILES_DIR = "this server has no files_dir; post the file as the body of the request"


def handler(settings: Settings) -> Handler:
    """The type `process_file`."""

    def check(operation: FileInput) -> None:
        if operation.path is None:
            raise InvalidInput("say which file, or post it as the body of the request", "/path")
        check_path(operation.path)
        if settings.files_dir is None:
            raise InvalidInput(_NO_FILES_DIR, "/path")

    def run(operation: FileInput, ctx: Ctx) -> Result:
        outputs = Outputs(settings.data_dir, ctx.job_id)
        with _opened(operation, ctx, settings) as source:
            return _worker(operation, ctx, settings)(operation, source, outputs)

    return Handler(
        "process_file",
        run,
        input=Operation,
        summary="Checksums, counts, (de)compresses or summarises a file.",
        accepts_upload=True,
        check=check,
        check_upload=_check_upload,
    )


def _check_upload(operation: FileInput) -> None:
    if operation.path is not None:
        raise InvalidInput("a job works on its body or on a path, not on both", "/path")


def _opened(operation: FileInput, ctx: Ctx, settings: Settings) -> AbstractContextManager[Source]:
    if ctx.upload is not None:
        return open_upload(ctx.upload, ctx.checkpoint)
    if operation.path is None or settings.files_dir is None:
        raise Fail(f"There is no file to work on: {_NO_FILES_DIR}.")
    return open_in_jail(settings.files_dir, operation.path, ctx.checkpoint)


def _worker(
    operation: FileInput, ctx: Ctx, settings: Settings
) -> Callable[[Any, Source, Outputs], Result]:
    workers: dict[type, Callable[[Any, Source, Outputs], Result]] = {
        Checksum: checksum,
        Count: count,
        Compress: compress,
        Decompress: decompressor(settings, ctx.checkpoint),
        CsvSummary: csv_summary,
        JsonLinesSummary: json_lines_summary,
        Thumbnail: thumbnail,
    }
    return workers[type(operation)]
