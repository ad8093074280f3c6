// runc's init opens exec.fifo in its state directory to write a byte, and executes the program (runc 1.0 to 1.4, libcontainer's createExecFifo, standard_init_linux.go
// and Exec). `start` reads that byte, waits for the end of the file, which the program's execution brings, and removes the FIFO. Poststart hooks are left to the runtime.
#define _GNU_SOURCE
#include "release.h"
#include "json.h"
#include "runtime.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPENED_MS 2000 /* an init that has not opened it by then is none of runc's, whatever the runtime is called */

static struct {
	struct watch fifo;
	struct timer timer;
	bool opened; /* by the init, which has written */
	void (*told)(bool runs);
} release = { .fifo.fd = -1 };

static bool has_late_hooks(void)
{
	char *text = runtime_read_file("config.json", &(size_t){ 0 });
	struct json hooks = json_member(json_member(json_of(text, text == NULL ? 0 : strlen(text)), "hooks"), "poststart"), at = { NULL, NULL };
	bool has = text == NULL || json_next(hooks, &at, NULL);
	free(text);
	return has;
}

static void finish(bool runs)
{
	char path[2 * TEXT_MAX];
	loop_forget(&release.fifo);
	close(release.fifo.fd);
	release.fifo.fd = -1;
	timer_clear(&release.timer);
	if (runs && runtime_state_file("exec.fifo", path)) unlink(path); /* its absence is what `runc state` calls running */
	release.told(runs);
}

/* Whether the file has ended, or will not say anything any more. */
static bool read_up(void)
{
	char bytes[64];
	for (;;) {
		ssize_t got = read(release.fifo.fd, bytes, sizeof bytes);
		if (got > 0) release.opened = true;
		else return got == 0 || (errno != EAGAIN && errno != EINTR);
	}
}

static void fifo_ready(struct watch *watch, uint32_t events)
{
	(void)watch;
	if (read_up() && (events & (EPOLLHUP | EPOLLERR)) != 0) finish(release.opened);
}

static void nobody_opened(struct timer *timer)
{
	(void)timer;
	if (!release.opened) finish(false);
}

bool release_begin(void (*told)(bool runs))
{
	char path[2 * TEXT_MAX];
	struct stat status;
	if (!runtime_is("runc") || has_late_hooks() || getenv("NOTIFY_SOCKET") != NULL || !runtime_state_file("exec.fifo", path)) return false;
	release.fifo.fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (release.fifo.fd < 0) return false;
	release.fifo.ready = fifo_ready;
	release.timer.fire = nobody_opened;
	release.opened = false;
	release.told = told;
	if (fstat(release.fifo.fd, &status) == 0 && S_ISFIFO(status.st_mode) && loop_watch(&release.fifo, EPOLLIN)) {
		timer_set(&release.timer, OPENED_MS);
		return true;
	}
	close(release.fifo.fd);
	release.fifo.fd = -1;
	return false;
}

void release_ended(void)
{
	if (release.fifo.fd < 0) return;
	read_up();
	finish(release.opened);
}
