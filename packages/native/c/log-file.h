/*
 * One container's log on disk: appending, rotation, repair of a torn end. It reads no container output and never blocks on it. A rotation
 * waits for attached clients (log-file.c, wait_for_readers), no longer than `patience_ms`; once the container is over (`over`, or SIGTERM is pending) the
 * file grows instead.
 */
#ifndef POUCH_LOG_FILE_H
#define POUCH_LOG_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <limits.h>

struct log_file {
	char dir[PATH_MAX];
	int64_t max_size;   /* bytes of one file; 0: no limit */
	int max_files;      /* files kept, the current one included; at least 1 */
	int64_t patience_ms; /* for a client that reads too slowly, at each rotation; the caller ignores SIGIO */
	bool over;          /* nothing more is written by the container than what is there to be read */
	uint16_t flags;
	int fd;             /* log.0, or -1 when it cannot be written now */
	int lock;           /* dir/lock, held while this process writes, or -1 */
	bool gone;          /* the directory was removed: discard from now on */
	int64_t size;       /* of log.0, whole records only */
	uint64_t position;  /* of the next record */
	uint32_t run;       /* of the records being written; 0 until the log could be opened */
	uint64_t lost;      /* payload bytes dropped and not yet told by a lost record */
	int64_t checked;    /* monotonic milliseconds of the last look whether the directory is still there */
};

/* Opens the log for a new run, waiting a bounded time for an earlier writer to finish. False: cannot be written (errno says why). */
bool log_open(struct log_file *log);

/* Appends one record, whole or not at all; what cannot be written is counted in `lost`. Never waits for space on the disk. True: it is in the file. */
bool log_append(struct log_file *log, uint8_t kind, const void *payload, uint32_t length);

void log_close(struct log_file *log);

#endif
