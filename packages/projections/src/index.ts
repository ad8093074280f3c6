// Projections of the log in SQLite: the projector that writes them, the reader that answers from them. Follows no log and serves no HTTP.
export { isDamage, openReadOnly, openWriter, ProjectionFileError, readMigrations, removeFiles, type Migrations, type Orm } from './database.ts';
export { DirectoryInUseError, lockDirectory } from './directory-lock.ts';
export { dockerItem, dockerState, finishDockerItem, mountPoints, networkModeOf } from './docker-item.ts';
export { distill, type Distilled } from './distill.ts';
export { bufferOf, decodeEntry, isKnownKind, typesOf, type Decoded, type LogEntry, type Origin } from './entry.ts';
export { HistoryReader, messageOf, type HistoryFilter, type HistoryFloor, type HistoryPage, type HistoryRow, type PastContainer, type SubjectHead } from './history-reader.ts';
export { checkAgainstLog, maxCompared, type LogCheck, type LogFacts } from './log-check.ts';
export { PresentReader, type ContainerFilter, type ContainerItem, type Counts, type Resolved, type Stored } from './present-reader.ts';
export { Projector, type Applied, type AppliedMessage, type Checkpoint } from './projector.ts';
export { prune, type Pruned, type Retention } from './prune.ts';
export { ProjectionReader } from './reader.ts';
export { tables } from './schema.ts';
