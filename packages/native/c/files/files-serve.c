// pouch-files: one request, from GO to its end. Also what a guest's init does for its host, where the root is entered already.
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

static void serve(bool writing, uint8_t op, const unsigned char *payload, size_t length)
{
	static char path[FILES_PATH_MAX + 1];
	uint32_t flags = 0, uid = 0, gid = 0;
	if (op == FILES_EXTRACT) {
		if (length < 12) give_up(EPROTO, "a request of %zu bytes", length);
		flags = get32(payload);
		uid = get32(payload + 4);
		gid = get32(payload + 8);
		payload += 12;
		length -= 12;
	}
	take_path(path, payload, length);
	if (path[0] != '/') give_up(EINVAL, "%s: not an absolute path", path);
	switch (op) {
	case FILES_STAT: stat_path(path); return;
	case FILES_READ: read_path(path); return;
	case FILES_EXTRACT:
		if (!writing) give_up(EPERM, "it was started to read");
		extract(path, flags, uid, gid);
		return;
	default: give_up(EPROTO, "operation %u", op);
	}
}

// `enter_root` NULL: this process is in it.
void serve_files(bool writing, void (*enter_root)(void))
{
	uint8_t op;
	const unsigned char *payload;
	size_t length;
	// Whoever reads from it may go at any time: a write then fails, which ends it after it has cleaned up.
	signal(SIGPIPE, SIG_IGN);
	umask(0);
	send_frame(FILES_OPENED, NULL, 0);
	if (!take_frame(&op, &payload, &length)) return;
	if (op != FILES_GO) give_up(EPROTO, "operation %u before GO", op);
	if (enter_root != NULL) enter_root();
	drop_rights(writing);
	if (take_frame(&op, &payload, &length)) serve(writing, op, payload, length);
}
