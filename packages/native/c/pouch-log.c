/*
 * pouch-log: writes a container's output to its log, one process per running container.
 *
 *   pouch-log dir PATH start ID [max-size BYTES] [max-file COUNT] [tty 1]       started by containerd's shim, from a binary:// URI:
 *       stdout is fd 3, stderr fd 4, closing fd 5 tells the shim that we are ready; SIGTERM means "the container is over".
 *       With POUCH_LOG_BEGIN=6 in the environment (our own shim) nothing is read of them before a byte comes from fd 6, and nothing at all where
 *       that ends without one: until the program is let go the runtime's own init has its streams, and what it says there is no output.
 *   pouch-log --fifo OUT ERR dir PATH start ID …                                 for containers whose stdio are FIFOs:
 *       goes into the background once the FIFOs are open and the start is in the log; exit code 0 says so. ERR can be "-".
 *       A FIFO that has had no writer for 150 s (wait-ms) counts as ended; with a writer it ends when the last one is gone.
 *
 * Exactly one end record per start, after the last byte of output, so that a reader knows when it has everything. It never
 * stops reading because the log cannot be written (the container would stand still), and never ends for that reason. Only an attached
 * client that has not read what a rotation would throw away makes it wait, and the container with it, as a pipe would.
 * It starts nothing, listens on nothing and trusts no byte of the output.
 */
#define _GNU_SOURCE
#include "log-file.h"
#include "log-format.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define FIRST_WRITER_MS 150000  /* unless told otherwise: a FIFO that nobody opened for writing by then counts as ended; a create may take 120 s */
#define READER_MS 60000         /* unless told otherwise (reader-ms): for an attached client that takes nothing, at each rotation */
#define FINISH_MS 5000          /* after SIGTERM: the shim waits 10 s, and somebody else may hold the pipe and write on */
#define START_ID_MAX 256u
#define END_TRIES 10            /* × 100 ms: the end record is worth waiting for space */

enum { SHIM_STDOUT = 3, SHIM_STDERR = 4, SHIM_READY = 5, SHIM_BEGIN = 6 };

struct source {
	int fd;          /* -1 once ended */
	uint8_t kind;
	bool had_writer; /* pipes from the shim always; FIFOs from the first byte or hang-up on, or from when one was found to be silent */
};

struct options {
	struct log_file log;
	const char *start;
	const char *fifo[2]; /* NULL in shim mode */
	int64_t first_writer_ms;
	bool tty;
};

static int fail(const char *what)
{
	int code = errno;
	fprintf(stderr, "pouch-log: %s: %s\n", what, strerror(code));
	return 1;
}

static bool parse_number(const char *text, int64_t min, int64_t max, int64_t *out)
{
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max) return false;
	*out = value;
	return true;
}

static bool parse_pair(struct options *options, const char *key, const char *value)
{
	int64_t number;
	if (strcmp(key, "dir") == 0) {
		size_t length = strlen(value);
		if (length == 0 || length >= sizeof options->log.dir || value[0] != '/') return false;
		memcpy(options->log.dir, value, length + 1);
	} else if (strcmp(key, "start") == 0) {
		if (strlen(value) > START_ID_MAX) return false;
		options->start = value;
	} else if (strcmp(key, "max-size") == 0) {
		/* -1 and 0 are Docker's words for no limit. */
		if (!parse_number(value, -1, INT64_MAX / 2, &number)) return false;
		options->log.max_size = number < 0 ? 0 : number;
	} else if (strcmp(key, "max-file") == 0) {
		if (!parse_number(value, 1, 1000, &number)) return false;
		options->log.max_files = (int)number;
	} else if (strcmp(key, "wait-ms") == 0) {
		if (!parse_number(value, 1, 3600 * 1000, &options->first_writer_ms)) return false;
	} else if (strcmp(key, "reader-ms") == 0) {
		if (!parse_number(value, 0, 3600 * 1000, &options->log.patience_ms)) return false;
	} else if (strcmp(key, "tty") == 0) {
		options->tty = strcmp(value, "1") == 0;
	}
	/* Other keys are of a newer caller and change nothing here. */
	return true;
}

static bool parse(struct options *options, int argc, char **argv)
{
	int at = 1;
	if (argc > 3 && strcmp(argv[1], "--fifo") == 0) {
		options->fifo[0] = argv[2];
		options->fifo[1] = strcmp(argv[3], "-") == 0 ? NULL : argv[3];
		at = 4;
	}
	/* The shim takes the pairs from a hash map: they come in any order, each key with its value, which can be empty. */
	for (; at + 1 < argc; at += 2)
		if (!parse_pair(options, argv[at], argv[at + 1])) {
			fprintf(stderr, "pouch-log: bad value for %.64s\n", argv[at]);
			return false;
		}
	if (options->log.dir[0] == '\0') {
		fprintf(stderr, "pouch-log: usage: pouch-log [--fifo OUT ERR] dir PATH start ID [max-size BYTES] [max-file COUNT] [tty 1]\n");
		return false;
	}
	return true;
}

static int64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads one chunk and appends it. False: this source has ended. */
static bool copy_chunk(struct log_file *log, const struct source *source)
{
	static unsigned char chunk[LOG_PAYLOAD_MAX];
	ssize_t got = read(source->fd, chunk, sizeof chunk);
	if (got < 0) return errno == EINTR || errno == EAGAIN;
	if (got == 0) return false;
	log_append(log, source->kind, chunk, (uint32_t)got);
	return true;
}

/* Copies until both sources have ended; after SIGTERM (only in shim mode) until nothing more is there to be read. */
static void copy(struct log_file *log, struct source sources[2], int signals, int64_t first_writer_ms)
{
	int64_t deadline = monotonic_ms() + first_writer_ms;
	bool finishing = false;
	while (sources[0].fd >= 0 || sources[1].fd >= 0) {
		struct pollfd polled[3] = {
			{ sources[0].fd, POLLIN, 0 },
			{ sources[1].fd, POLLIN, 0 },
			{ finishing ? -1 : signals, POLLIN, 0 },
		};
		bool waiting = (sources[0].fd >= 0 && !sources[0].had_writer) || (sources[1].fd >= 0 && !sources[1].had_writer);
		int64_t left = deadline - monotonic_ms();
		int timeout = finishing ? 0 : waiting ? (left > 0 ? (int)left : 0) : -1;
		int ready = poll(polled, 3, timeout);
		if (ready < 0 && errno != EINTR) return;
		if (ready < 0) continue;
		if (finishing && (ready == 0 || left <= 0)) return;
		for (int i = 0; i < 2; i++) {
			struct source *source = &sources[i];
			if (source->fd < 0) continue;
			if (polled[i].revents == 0 && (source->had_writer || ready > 0 || left > 0)) continue;
			/* When its time is up, reading tells a writer that is silent (EAGAIN) from none at all (0). */
			source->had_writer = true;
			if (copy_chunk(log, source)) continue;
			close(source->fd);
			source->fd = -1;
		}
		if (polled[2].revents & POLLIN) {
			struct signalfd_siginfo info;
			/* The signal's arrival is all that matters. */
			if (read(signals, &info, sizeof info) <= 0) continue;
			finishing = true;
			log->over = true;
			deadline = monotonic_ms() + FINISH_MS;
		}
	}
}

/* Whether the program is let go. The shim holds the other end: it says so, or ends, or says that the container is over. */
static bool begins(int signals)
{
	for (;;) {
		struct pollfd polled[2] = { { SHIM_BEGIN, POLLIN, 0 }, { signals, POLLIN, 0 } };
		char byte;
		if (poll(polled, 2, -1) < 0) {
			if (errno == EINTR) continue;
			return true;
		}
		/* First: of a program that has ended already both are there. */
		if (polled[0].revents == 0) return false;
		ssize_t got = read(SHIM_BEGIN, &byte, 1);
		if (got < 0 && errno == EINTR) continue;
		close(SHIM_BEGIN);
		return got == 1;
	}
}

static void append_end(struct log_file *log, const char *start)
{
	struct timespec pause = { 0, 100 * 1000 * 1000 };
	for (int i = 0; i < END_TRIES && !log->gone; i++) {
		if (log_append(log, LOG_END, start, (uint32_t)strlen(start))) return;
		nanosleep(&pause, NULL);
	}
}

static int open_fifo(const char *path)
{
	/* Without O_NONBLOCK the open would wait for the writer, and then nothing here would be bounded. */
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

/* The caller's child exits 0 when everything is ready; its child, in a session of its own, goes on. */
static void go_into_background(void)
{
	pid_t child = fork();
	if (child < 0) return; /* then stay in the foreground: worse for the caller, but the output is kept */
	if (child > 0) _exit(0);
	setsid();
	if (chdir("/") < 0) return;
	int null = open("/dev/null", O_RDWR);
	if (null < 0) return;
	for (int fd = 0; fd < 3; fd++) dup2(null, fd);
	if (null > 2) close(null);
}

int main(int argc, char **argv)
{
	static struct options options;
	struct source sources[2] = { { -1, LOG_STDOUT, true }, { -1, LOG_STDERR, true } };
	int signals = -1;

	options.log.max_files = 1;
	options.log.patience_ms = READER_MS;
	options.first_writer_ms = FIRST_WRITER_MS;
	options.start = "";
	if (!parse(&options, argc, argv)) return 2;
	options.log.flags = options.tty ? LOG_FLAG_TTY : 0;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGIO, SIG_IGN); /* a lease that a reader broke: log-file.c */
	signal(SIGINT, SIG_IGN);
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);

	bool fifo = options.fifo[0] != NULL;
	if (fifo) {
		for (int i = 0; i < 2; i++) {
			if (options.fifo[i] == NULL) continue;
			sources[i].fd = open_fifo(options.fifo[i]);
			sources[i].had_writer = false;
			if (sources[i].fd < 0) return fail(options.fifo[i]);
		}
	} else {
		sources[0].fd = SHIM_STDOUT;
		/* With a terminal the shim never closes the stderr pipe and nothing is ever written to it. */
		sources[1].fd = options.tty ? -1 : SHIM_STDERR;
		if (options.tty) close(SHIM_STDERR);
		signals = signalfd(-1, &term, SFD_CLOEXEC);
	}

	/* A log that cannot be opened now is tried again with each record; the output is drained meanwhile. */
	if (!log_open(&options.log)) fail(options.log.dir);
	log_append(&options.log, LOG_START, options.start, (uint32_t)strlen(options.start));
	if (fifo) go_into_background();
	else close(SHIM_READY);

	const char *begin = getenv("POUCH_LOG_BEGIN");
	if (fifo || begin == NULL || strcmp(begin, "6") != 0 || begins(signals)) copy(&options.log, sources, signals, options.first_writer_ms);
	append_end(&options.log, options.start);
	log_close(&options.log);
	return 0;
}
