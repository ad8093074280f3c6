// epoll, a list of timers, and the only caller of waitpid. It decides nothing.
#define _GNU_SOURCE
#include "loop.h"
#include "shim.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STRANGERS_MAX 256u /* ends of children nobody knows yet; the oldest goes */

static int epoll = -1;
static struct timer *timers;
static struct child *children;

static struct { pid_t pid; int status; } strangers[STRANGERS_MAX];
static unsigned strangers_count, keepers;

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool loop_watch(struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };
	return epoll_ctl(epoll, EPOLL_CTL_ADD, watch->fd, &event) == 0;
}

void loop_change(struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };
	epoll_ctl(epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_forget(struct watch *watch)
{
	if (watch->fd >= 0) epoll_ctl(epoll, EPOLL_CTL_DEL, watch->fd, NULL);
}

void timer_clear(struct timer *timer)
{
	for (struct timer **at = &timers; *at != NULL; at = &(*at)->next) {
		if (*at != timer) continue;
		*at = timer->next;
		break;
	}
	timer->set = false;
}

void timer_set(struct timer *timer, int64_t after_ms)
{
	if (timer->set) timer_clear(timer);
	timer->at_ms = now_ms() + after_ms;
	timer->set = true;
	struct timer **at = &timers;
	while (*at != NULL && (*at)->at_ms <= timer->at_ms) at = &(*at)->next;
	timer->next = *at;
	*at = timer;
}

void child_watch(struct child *child, pid_t pid)
{
	child->pid = pid;
	child->next = children;
	children = child;
}

void child_forget(struct child *child)
{
	for (struct child **at = &children; *at != NULL; at = &(*at)->next) {
		if (*at != child) continue;
		*at = child->next;
		return;
	}
}

void strangers_keep(void)
{
	keepers++;
}

void strangers_drop(void)
{
	if (--keepers == 0) strangers_count = 0;
}

void child_adopt(struct child *child, pid_t pid)
{
	for (unsigned i = 0; i < strangers_count; i++) {
		if (strangers[i].pid != pid) continue;
		int status = strangers[i].status;
		strangers[i] = strangers[--strangers_count];
		child->pid = pid;
		child->ended(child, status);
		return;
	}
	child_watch(child, pid);
}

static void reap(struct watch *watch, uint32_t events)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;
	(void)events;
	while (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info) { /* one look at the children serves them all */ }
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *child = children;
		while (child != NULL && child->pid != pid) child = child->next;
		if (child != NULL) {
			child_forget(child);
			child->ended(child, status);
		} else if (keepers > 0) {
			if (strangers_count == STRANGERS_MAX) memmove(strangers, strangers + 1, --strangers_count * sizeof strangers[0]);
			strangers[strangers_count].pid = pid;
			strangers[strangers_count++].status = status;
		}
	}
}

void loop_open(void)
{
	static struct watch signals;
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	signals = (struct watch){ signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), reap };
	if (epoll < 0 || signals.fd < 0 || !loop_watch(&signals, EPOLLIN)) give_up("the loop cannot be made");
}

void loop_run(void)
{
	for (;;) {
		/* One at a time: what handles it may end the watch of any other. */
		struct epoll_event event;
		int64_t left = timers == NULL ? -1 : timers->at_ms - now_ms();
		int timeout = timers == NULL ? -1 : left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
		int ready = epoll_wait(epoll, &event, 1, timeout);
		if (ready < 0 && errno != EINTR) give_up("the loop cannot go on");
		if (ready == 1) {
			struct watch *watch = event.data.ptr;
			watch->ready(watch, event.events);
		}
		while (timers != NULL && timers->at_ms <= now_ms()) {
			struct timer *due = timers;
			timer_clear(due);
			due->fire(due);
		}
	}
}
