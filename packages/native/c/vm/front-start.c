// runv start: the container's own process, by its monitor. The words for a program that is not there are those that callers look for.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "front.h"
#include "monitor.h"

#define START_MS 60000
#define ERROR_MAX (8u + 1024u)

static uint32_t payload_max(uint8_t op)
{
	return op == OP_START ? 0 : op == VM_ERROR ? ERROR_MAX : UINT32_MAX;
}

// 1: `answer` is START or ERROR, 0: not in time, -1: the monitor has gone.
static int ask(struct link *link, struct frame *answer)
{
	const char *why;
	if (link_send(link, OP_START, 0, NULL, 0) < 0 || link_flush(link) < 0) return -1;
	for (int64_t deadline = now_ms() + START_MS, left; (left = deadline - now_ms()) > 0;) {
		struct pollfd one = { link->fd, POLLIN, 0 };
		if (poll(&one, 1, (int)left) < 0 && errno != EINTR) return -1;
		int got = one.revents == 0 ? 0 : link_fill(link), found = link_next(link, answer, &why);
		if (found != 0) return found;
		if (got < 0) return -1;
	}
	return 0;
}

static int refused(const struct front *front, const struct record *record, const struct frame *answer)
{
	static const char stopped[] = "cannot start a container that has stopped";
	char text[REASON_MAX] = "the machine refused", arg0[REASON_MAX], clean[REASON_MAX];
	uint32_t error = answer->length < 8 ? 0 : get_u32(answer->payload), op = answer->length < 8 ? 0 : get_u32(answer->payload + 4);
	if (answer->length > 8) text_clean(text, sizeof text, answer->payload + 8, answer->length - 8);
	if (op == OP_START && error == EALREADY) return front_tell(front, "cannot start an already running container");
	if (op == OP_START && error == ESRCH) return front_tell(front, "%s", stopped);
	if (op == OP_START && error == EAGAIN) return front_tell(front, "the container is not created yet");
	text_clean(clean, sizeof clean, record->arg0, strlen(record->arg0));
	json_text(arg0, sizeof arg0, clean);
	if (error == ENOENT) return front_tell(front, "exec: \"%.400s\": executable file not found in $PATH: %.800s: no such file or directory", arg0, text);
	if (error == EACCES) return front_tell(front, "exec: \"%.400s\": permission denied: %.800s", arg0, text);
	if (error == ENOEXEC) return front_tell(front, "exec: \"%.400s\": exec format error: %.800s", arg0, text);
	return front_tell(front, "%s", text);
}

int front_start(struct front *front, char **words)
{
	struct record record;
	struct frame answer;
	struct link link;
	const struct option none[] = { { NULL, NULL, false, NULL } };
	if (!front_options(front, words, none)) return front_tell(front, "usage: runv start ID, with letters, digits, \"_\", \"+\", \"-\" and \".\" in the id");
	if (record_read(front, &record) < 0) return errno == ENOENT ? front_tell(front, "container \"%s\" does not exist", front->id) : front_tell(front, "%s/state.json: %s", front->directory, strerror(errno));
	if (record.pid == 0) return front_tell(front, "the container is not created yet");
	int fd = record_lives(&record) ? record_connect(&record) : -1;
	if (fd < 0) return front_tell(front, "cannot start a container that has stopped");
	link_init(&link, fd, 4096, payload_max);
	int result = ask(&link, &answer);
	if (result == 0) return front_tell(front, "the machine did not answer within %d ms", START_MS);
	if (result < 0) return front_tell(front, "container not running: the monitor closed the connection");
	if (answer.op == VM_ERROR) return refused(front, &record, &answer);
	return record.poststart ? front_late_hooks(front, &record, "poststart") : 0;
}
