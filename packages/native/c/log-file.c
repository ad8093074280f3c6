/* Appending to a container's log. The format is drawn in log-format.h. No dynamic memory: one static window for the repair. */
#define _GNU_SOURCE
#include "log-file.h"
#include "log-format.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 500          /* × 10 ms: how long an earlier writer may take to finish */
#define DIRECTORY_CHECK_MS 1000
#define LAST_PATIENCE_MS 1000   /* with readers, once the container is over */
#define LEFT_MAX (4 << 20)      /* bytes that are left then: what two pipes of a MiB hold, and their records */
#define WRITE_TRIES 64          /* short writes and EINTR in one record before it counts as failed */

static int64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool file_name(char *out, size_t size, const struct log_file *log, int number)
{
	int length = snprintf(out, size, "%s/log.%d", log->dir, number);
	return length > 0 && (size_t)length < size;
}

/* What the end of a file says. */
struct tail {
	int64_t end;       /* where the last whole record ends; 0 when there is none */
	uint64_t position; /* of the record after it */
	uint32_t run;
	bool found;
};

/* Finds the last whole record. A torn one is shorter than a record, so two records' length from the end is far enough to look. */
static struct tail read_tail(int fd, int64_t size)
{
	static unsigned char window[2 * LOG_RECORD_MAX];
	struct tail tail = { 0, 0, 0, false };
	int64_t start = size > (int64_t)sizeof window ? size - (int64_t)sizeof window : 0;
	size_t have = 0;
	while (have < (size_t)(size - start)) {
		ssize_t got = pread(fd, window + have, (size_t)(size - start) - have, start + (int64_t)have);
		if (got < 0 && errno == EINTR) continue;
		if (got <= 0) break;
		have += (size_t)got;
	}
	for (size_t end = have; end >= LOG_OVERHEAD; end--) {
		if (get32(window + end - 4) != LOG_END_MAGIC) continue;
		uint32_t length = get32(window + end - 8);
		if (length > LOG_PAYLOAD_MAX || length + LOG_OVERHEAD > end) continue;
		const unsigned char *header = window + end - LOG_OVERHEAD - length;
		if (get32(header) != LOG_MAGIC || get32(header + 8) != length || get32(header + 32) != log_check(header)) continue;
		tail.end = start + (int64_t)end;
		tail.run = get32(header + 12);
		tail.position = get64(header + 24) + LOG_OVERHEAD + length;
		tail.found = true;
		break;
	}
	return tail;
}

/* The run and position that the newest rotated file ends with, for a log.0 that holds no record itself. */
static struct tail read_rotated(const struct log_file *log)
{
	struct tail tail = { 0, 0, 0, false };
	char name[PATH_MAX + 32];
	struct stat status;
	if (!file_name(name, sizeof name, log, 1)) return tail;
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) return tail;
	if (fstat(fd, &status) == 0) tail = read_tail(fd, status.st_size);
	close(fd);
	return tail;
}

/* Opens log.0 and cuts off what is torn. Keeps `position` and `run` when they are already ahead of what the files say. */
static bool open_current(struct log_file *log)
{
	char name[PATH_MAX + 32];
	struct stat status;
	if (!file_name(name, sizeof name, log, 0)) {
		errno = ENAMETOOLONG;
		return false;
	}
	int fd = open(name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		log->gone = errno == ENOENT || errno == ENOTDIR;
		return false;
	}
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		errno = EINVAL;
		return false;
	}
	struct tail tail = read_tail(fd, status.st_size);
	if (tail.end != status.st_size && ftruncate(fd, tail.end) < 0) {
		close(fd);
		return false;
	}
	log->size = tail.end;
	if (!tail.found) tail = read_rotated(log);
	if (tail.position > log->position) log->position = tail.position;
	if (log->run == 0) log->run = tail.run + 1;
	log->fd = fd;
	return true;
}

bool log_open(struct log_file *log)
{
	char name[PATH_MAX + 32];
	log->fd = -1;
	log->lock = -1;
	log->checked = monotonic_ms();
	if (snprintf(name, sizeof name, "%s/lock", log->dir) >= (int)sizeof name) {
		errno = ENAMETOOLONG;
		return false;
	}
	log->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log->lock >= 0) {
		/* The run before can still be writing its last bytes. One that is stuck must not stop this container for ever. */
		struct timespec pause = { 0, 10 * 1000 * 1000 };
		for (int i = 0; i < LOCK_TRIES && flock(log->lock, LOCK_EX | LOCK_NB) < 0; i++) nanosleep(&pause, NULL);
	}
	return open_current(log);
}

/*
 * Whether an attached client still reads the file: it opens what it reads for writing as well, and no read lease is given then (fcntl(2)).
 * Where the file system has no leases nobody is waited for. Opening breaks a lease with SIGIO, which is ignored.
 */
static bool held(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) return false;
	bool busy = fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && errno == EAGAIN;
	close(fd); /* and with it the lease */
	return busy;
}

static bool is_over(const struct log_file *log)
{
	sigset_t pending;
	return log->over || (sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 1);
}

/*
 * Output that an attached client has not read yet is not thrown away: the container waits for it, though not for ever. Whoever ends a container that is over
 * waits for its log: what is left of it is little, and log.0 grows by that. False: append on, nothing may be thrown away.
 */
static bool wait_for_readers(const struct log_file *log, const char *name)
{
	struct timespec pause = { 0, 5 * 1000 * 1000 };
	int64_t until = monotonic_ms() + log->patience_ms;
	while (held(name) && monotonic_ms() < until) {
		if (is_over(log)) {
			if (log->size < log->max_size + LEFT_MAX) return false;
			if (until > monotonic_ms() + LAST_PATIENCE_MS) until = monotonic_ms() + LAST_PATIENCE_MS;
		}
		nanosleep(&pause, NULL);
	}
	return true;
}

/*
 * log.0 becomes log.1 and so on; the oldest goes, and is kept one turn longer while it is held. So a slow reader finds the file that
 * follows the one it reads, and the log takes at most one file more than it should. Any reader that has a file open reads it to its end.
 */
static void rotate(struct log_file *log)
{
	char from[PATH_MAX + 32], to[PATH_MAX + 32];
	if (!file_name(to, sizeof to, log, log->max_files)) return;
	if (!wait_for_readers(log, to)) return;
	unlink(to);
	close(log->fd);
	log->fd = -1;
	for (int number = log->max_files - 1; number >= 0; number--) {
		if (!file_name(from, sizeof from, log, number) || !file_name(to, sizeof to, log, number + 1)) return;
		rename(from, to);
	}
	if (file_name(to, sizeof to, log, log->max_files) && !held(to)) unlink(to);
	open_current(log);
}

static bool directory_is_gone(struct log_file *log)
{
	struct stat status;
	int64_t now = monotonic_ms();
	if (now - log->checked < DIRECTORY_CHECK_MS) return false;
	log->checked = now;
	return log->fd >= 0 && fstat(log->fd, &status) == 0 && status.st_nlink == 0;
}

/* Writes the whole of `parts`, or leaves the file as it was. */
static bool write_whole(struct log_file *log, struct iovec parts[3], size_t total)
{
	size_t done = 0;
	struct iovec *part = parts;
	int count = 3;
	for (int tries = 0; done < total && tries < WRITE_TRIES; tries++) {
		ssize_t wrote = writev(log->fd, part, count);
		if (wrote < 0 && errno == EINTR) continue;
		if (wrote <= 0) break;
		done += (size_t)wrote;
		size_t left = (size_t)wrote;
		while (count > 0 && left >= part->iov_len) {
			left -= part->iov_len;
			part++;
			count--;
		}
		if (count > 0) {
			part->iov_base = (char *)part->iov_base + left;
			part->iov_len -= left;
		}
	}
	if (done == total) return true;
	if (done > 0 && ftruncate(log->fd, log->size) < 0) {
		/* The torn record stays: open again, which repairs the end, at the next record. */
		close(log->fd);
		log->fd = -1;
	}
	return false;
}

static bool append(struct log_file *log, uint8_t kind, const void *payload, uint32_t length)
{
	unsigned char header[LOG_HEADER] = { 0 }, trailer[LOG_TRAILER];
	int64_t total = (int64_t)LOG_OVERHEAD + length;
	struct timespec now;

	if (log->fd >= 0 && log->max_size > 0 && log->size > 0 && log->size + total > log->max_size) rotate(log);
	if (log->fd < 0 && (log->gone || !open_current(log))) return false;

	clock_gettime(CLOCK_REALTIME, &now);
	put32(header, LOG_MAGIC);
	header[4] = LOG_VERSION;
	header[5] = kind;
	header[6] = (unsigned char)log->flags;
	header[7] = (unsigned char)(log->flags >> 8);
	put32(header + 8, length);
	put32(header + 12, log->run);
	put64(header + 16, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	put64(header + 24, log->position);
	put32(header + 32, log_check(header));
	put32(trailer, length);
	put32(trailer + 4, LOG_END_MAGIC);
	struct iovec parts[3] = {
		{ header, sizeof header },
		{ (void *)(uintptr_t)payload, length },
		{ trailer, sizeof trailer },
	};
	if (!write_whole(log, parts, (size_t)total)) return false;
	log->size += total;
	log->position += (uint64_t)total;
	return true;
}

bool log_append(struct log_file *log, uint8_t kind, const void *payload, uint32_t length)
{
	if (directory_is_gone(log)) {
		close(log->fd);
		log->fd = -1;
		log->gone = true;
	}
	if (log->lost > 0 && !log->gone) {
		unsigned char count[8];
		put64(count, log->lost);
		if (append(log, LOG_LOST, count, sizeof count)) log->lost = 0;
	}
	if (append(log, kind, payload, length)) return true;
	if (kind == LOG_STDOUT || kind == LOG_STDERR) log->lost += length;
	return false;
}

void log_close(struct log_file *log)
{
	if (log->fd >= 0) close(log->fd);
	if (log->lock >= 0) close(log->lock);
	log->fd = log->lock = -1;
}
