// runv delete: the machine if it is forced, the control groups, the places and the record. Every step may have been done before. A container that `create`
// has not finished with is Node's affair.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "front.h"
#include "monitor.h"
#include "monitor-tree.h"

#define END_MS 10000
#define PATIENCE_MS 2000 // then the monitor is killed: a consumer that takes nothing holds it up
#define CGROUP_MS 2000   // a process that is just ending holds its control group for a moment

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000L }, NULL);
}

static int end_machine(const struct front *front, const struct record *record)
{
	uint8_t stop[VM_HEADER_BYTES] = { [4] = OP_STOP_NOW };
	int fd = record_connect(record);
	// Its end is what counts: the answer is not waited for.
	ssize_t ignored = fd < 0 ? 0 : send(fd, stop, sizeof stop, MSG_NOSIGNAL);
	(void)ignored;
	for (int64_t from = now_ms(), now; record_lives(record); pause_ms(2)) {
		if ((now = now_ms()) > from + PATIENCE_MS) kill((pid_t)record->pid, SIGKILL); // QEMU ends with it
		if (now <= from + END_MS) continue;
		if (fd >= 0) close(fd);
		return front_tell(front, "the machine's monitor (pid %d) does not end", (int)record->pid);
	}
	if (fd >= 0) close(fd);
	return 0;
}

static int remove_cgroups(const struct front *front, const struct record *record)
{
	const struct json_value *values = record->json.values;
	int64_t deadline = now_ms() + CGROUP_MS;
	for (size_t at = record->cgroups + 1; at < values[record->cgroups].next; at = values[at].next) {
		if (values[at].kind != JSON_STRING) continue;
		while (rmdir(values[at].text) < 0 && errno != ENOENT) {
			if (errno != EBUSY || now_ms() > deadline) return front_tell(front, "%s cannot be removed: %s", values[at].text, strerror(errno));
			pause_ms(2);
		}
	}
	return 0;
}

int front_delete(struct front *front, char **words)
{
	const char *force = NULL;
	const struct option options[] = { { "force", "f", true, &force }, { NULL, NULL, false, NULL } };
	struct record record;
	char status[16];
	if (!front_options(front, words, options)) return HAND_OVER;
	bool read = record_read(front, &record) == 0;
	// The record's directory is made first and goes last. Engines delete once more, to be sure.
	if (!read && access(front->directory, F_OK) < 0 && errno == ENOENT) return force != NULL ? 0 : front_tell(front, "container \"%s\" does not exist", front->id);
	if (!read || record.pid == 0) return HAND_OVER;
	record_status(front, &record, status);
	if (force == NULL && strcmp(status, "stopped") != 0 && strcmp(status, "created") != 0) return front_tell(front, "cannot delete container %s that is not stopped: %s", front->id, status);
	if (record_lives(&record) && end_machine(front, &record) != 0) return 1;
	if (remove_cgroups(front, &record) != 0) return 1;
	if (tree_remove(AT_FDCWD, record.sockets) < 0) return front_tell(front, "%s cannot be removed: %s", record.sockets, strerror(errno));
	if (tree_remove(AT_FDCWD, front->directory) < 0) return front_tell(front, "%s cannot be removed: %s", front->directory, strerror(errno));
	return record.poststop ? front_late_hooks(front, &record, "poststop") : 0;
}
