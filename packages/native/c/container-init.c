/*
 * container-init: PID 1 of a container that asked for one (HostConfig.Init; seen inside as /sbin/docker-init).
 *
 *   container-init [--] COMMAND [ARGUMENT …]
 *
 * Starts the command, passes every signal on to it, reaps every orphan, and ends as the command ended: its exit code, or 128 + signal.
 * 127 when the command was not found, 126 when it could not be executed. It opens no files and reads no input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* These mean a fault of our own, so they keep their effect. */
static const int own_faults[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS };
/* Taking the terminal for the command would stop us otherwise. */
static const int terminal_stops[] = { SIGTTIN, SIGTTOU };

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* In the child; returns the exit code when there is nothing to run. */
static int run_command(char **command, const sigset_t *mask)
{
	/* A group of its own, in front of the terminal if there is one: Ctrl-C then reaches the command as in a shell. */
	if (setpgid(0, 0) == 0) tcsetpgrp(STDIN_FILENO, getpgrp());
	for (size_t i = 0; i < COUNT(terminal_stops); i++) signal(terminal_stops[i], SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(command[0], command);
	int reason = errno;
	fprintf(stderr, "container-init: %s: %s\n", command[0], strerror(reason));
	return reason == ENOENT || reason == ENOTDIR ? 127 : 126;
}

/* Reaps all that ended. True: the command was among them, and `code` is its exit code. The only caller of waitpid. */
static bool reap(pid_t command, int *code)
{
	bool ended = false;
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
		if (pid != command) continue;
		ended = true;
		*code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	return ended;
}

int main(int argc, char **argv)
{
	char **command = argv + 1;
	sigset_t watched, before;
	int code = 1;

	if (argc > 1 && strcmp(command[0], "--") == 0) command++;
	if (argc < 2 || command[0] == NULL) {
		fprintf(stderr, "usage: container-init [--] COMMAND [ARGUMENT ...]\n");
		return 2;
	}
	sigfillset(&watched);
	for (size_t i = 0; i < COUNT(own_faults); i++) sigdelset(&watched, own_faults[i]);
	for (size_t i = 0; i < COUNT(terminal_stops); i++) {
		sigdelset(&watched, terminal_stops[i]);
		signal(terminal_stops[i], SIG_IGN);
	}
	/* Blocked before the fork, so that none is lost between the start of the command and the first wait. */
	sigprocmask(SIG_SETMASK, &watched, &before);

	pid_t child = fork();
	if (child < 0) {
		perror("container-init: fork");
		return 1;
	}
	if (child == 0) _exit(run_command(command, &before));

	for (;;) {
		siginfo_t signal_info;
		int number = sigwaitinfo(&watched, &signal_info);
		if (number < 0) continue;
		if (number != SIGCHLD) kill(child, number);
		else if (reap(child, &code)) return code;
	}
}
