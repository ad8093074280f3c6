// The public face of the small C programs: where they are, how they are called, and the format of the log they write.
export { encodeFileEntry, FilesOp, FileType, maxPayloadBytes, maxPathBytes, type FileEntry, type NewFile } from './files-frames.ts';
export { entryOf, FilesError, FilesHelper, type FilesBind, type FilesRoot } from './files-helper.ts';
export { filesPath, guestInitPath, initPath, logWriterFifoArguments, logWriterPath, logWriterUri, monitorPath, runvFrontPath, shimPath, sysPath, type LogWriterOptions } from './programs.ts';
export { decodeRecords, recordMaxBytes, type Decoded, type LogRecord, type LostRecord, type OutputRecord, type RunRecord } from './log-format.ts';
export { SysError, SysHelper, type SysHelperOptions } from './sys-helper.ts';
