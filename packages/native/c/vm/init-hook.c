// pouch-init: the hooks that run in the container right before its own process becomes its program (startContainer of the OCI's runtime-spec), started by the
// child that is about to: in its namespaces, with its user and rights. One after the other; the first that fails is why nothing is started.
#include "init.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRINGS_MAX 4096u
#define WORDS_MAX 400u // of what a hook says on stderr
#define LOOK_MS 2
#define READS_MAX 64 // at once: one that never stops talking has its time, too
#define NOT_RUN 126

struct hook {
  uint32_t timeout_ms;
  char *path, **arguments, **environment;
};

struct talk {
  int input, words;   // ends of its pipes that are ours; -1: closed
  const unsigned char *state;
  size_t left;
  char said[WORDS_MAX + 1];
  size_t length;
};

// u32 count, then so many strings. What is taken is never given back: this process becomes its program, or ends.
static char **take_strings(struct reader *reader)
{
  uint32_t count;
  if (take32(reader, &count) < 0) return NULL;
  char **list = count > STRINGS_MAX ? NULL : calloc(count + 1, sizeof list[0]);
  if (list == NULL) refuse(E2BIG, "hook: %u strings", count);
  for (uint32_t i = 0; list != NULL && i < count; i++) {
    if ((list[i] = take_string(reader)) == NULL) return NULL;
  }
  return list;
}

static int take_hook(struct hook *hook, struct reader reader)
{
  if (take32(&reader, &hook->timeout_ms) < 0 || (hook->path = take_string(&reader)) == NULL) return -1;
  return (hook->arguments = take_strings(&reader)) == NULL || (hook->environment = take_strings(&reader)) == NULL ? -1 : 0;
}

static _Noreturn void become_hook(const struct hook *hook, int input, int words)
{
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  setpgid(0, 0); // one that takes too long ends with all that it started
  signal(SIGPIPE, SIG_DFL);
  if (dup2(input, STDIN_FILENO) < 0 || dup2(null < 0 ? words : null, STDOUT_FILENO) < 0 || dup2(words, STDERR_FILENO) < 0) _exit(NOT_RUN);
  execve(hook->path, hook->arguments, hook->environment);
  dprintf(STDERR_FILENO, "%s", strerror(errno));
  _exit(NOT_RUN);
}

static void shut(int *fd)
{
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

// Neither waits: it gives what there is room for, and takes what is there.
static void exchange(struct talk *talk)
{
  char piece[512];
  ssize_t done = talk->input < 0 ? 0 : write(talk->input, talk->state, talk->left);
  if (done > 0) {
    talk->state += done;
    talk->left -= (size_t)done;
  }
  if (talk->left == 0 || (done < 0 && errno != EAGAIN)) shut(&talk->input); // it need not read it
  for (int reads = 0; talk->words >= 0 && reads < READS_MAX; reads++) {
    ssize_t got = read(talk->words, piece, sizeof piece);
    if (got < 0) return;
    if (got == 0) shut(&talk->words);
    size_t kept = (size_t)got < WORDS_MAX - talk->length ? (size_t)got : WORDS_MAX - talk->length;
    memcpy(talk->said + talk->length, piece, kept);
    talk->length += kept;
  }
}

// 0, or -1: it has not ended in time.
static int attend(pid_t pid, uint32_t timeout_ms, struct talk *talk, int *status)
{
  for (int64_t until = now_ms() + timeout_ms;; sleep_ms(LOOK_MS)) {
    bool ended = waitpid(pid, status, WNOHANG) == pid;
    exchange(talk);
    if (ended || now_ms() >= until) return ended ? 0 : -1;
  }
}

static int run_hook(const struct hook *hook, const struct spawn *spawn)
{
  int input[2], words[2], status = 0;
  if (pipe2(input, O_CLOEXEC) < 0 || pipe2(words, O_CLOEXEC) < 0) return fail("startContainer hook %s", hook->path);
  fcntl(input[1], F_SETFL, O_NONBLOCK);
  fcntl(words[0], F_SETFL, O_NONBLOCK);
  pid_t pid = fork();
  if (pid == 0) become_hook(hook, input[0], words[1]);
  close(input[0]);
  close(words[1]);
  struct talk talk = { .input = input[1], .words = words[0], .state = spawn->hook_state, .left = spawn->hook_state_length };
  if (pid < 0) return fail("startContainer hook %s", hook->path);
  bool late = attend(pid, hook->timeout_ms, &talk, &status) < 0;
  if (late) {
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL); // before it had a group of its own
    waitpid(pid, &status, 0);
  }
  shut(&talk.input);
  shut(&talk.words);
  while (talk.length > 0 && talk.said[talk.length - 1] == '\n') talk.said[--talk.length] = '\0';
  const char *colon = talk.length > 0 ? ": " : "";
  // EIO: the words of a program that is not there are for the container's own.
  if (late) return refuse(EIO, "error running startContainer hook %s: it has not ended within %u ms%s%s", hook->path, hook->timeout_ms, colon, talk.said);
  if (WIFSIGNALED(status)) return refuse(EIO, "error running startContainer hook %s: ended by signal %d%s%s", hook->path, WTERMSIG(status), colon, talk.said);
  if (WEXITSTATUS(status) != 0) return refuse(EIO, "error running startContainer hook %s: exit status %d%s%s", hook->path, WEXITSTATUS(status), colon, talk.said);
  return 0;
}

int run_hooks(const struct spawn *spawn)
{
  signal(SIGPIPE, SIG_IGN);
  for (size_t i = 0; i < spawn->hook_count; i++) {
    struct hook hook;
    if (take_hook(&hook, spawn->hooks[i]) < 0 || run_hook(&hook, spawn) < 0) return -1;
  }
  signal(SIGPIPE, SIG_DFL);
  return 0;
}
