// A cluster's whole state as one file: taken while it runs, checked, and put back into NATS servers that have none.
export { backupBytes, backupSections, BackupError, type Manifest, type SavedStream } from './format.ts';
export { checkBackup, type CheckedBackup } from './check.ts';
export { restoreBackup, type RestoreOptions } from './restore.ts';
export { takeBackup, type Backup } from './take.ts';
