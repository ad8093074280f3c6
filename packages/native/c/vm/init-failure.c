// pouch-init: how a failure is told, and the small readings and waits that every file needs. It keeps no other state.
#include "init.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

char failure[FAILURE_MAX];

int fail(const char *format, ...)
{
  int code = errno;
  va_list list;
  va_start(list, format);
  int length = vsnprintf(failure, sizeof failure, format, list);
  va_end(list);
  if (length >= 0 && (size_t)length < sizeof failure) {
    char *reason = failure + length;
    snprintf(reason, sizeof failure - (size_t)length, ": %s", strerror(code));
    // As Go and so runc write it: callers look for "no such file or directory" and "permission denied".
    if (reason[0] != '\0' && reason[2] >= 'A' && reason[2] <= 'Z' && reason[3] >= 'a') reason[2] = (char)(reason[2] + 32);
  }
  errno = code;
  return -1;
}

int refuse(int code, const char *format, ...)
{
  va_list list;
  va_start(list, format);
  vsnprintf(failure, sizeof failure, format, list);
  va_end(list);
  errno = code;
  return -1;
}

void tell(const char *format, ...)
{
  char line[FAILURE_MAX + 64];
  va_list list;
  va_start(list, format);
  int length = vsnprintf(line, sizeof line - 1, format, list);
  va_end(list);
  if (length < 0) return;
  size_t end = (size_t)length < sizeof line - 2 ? (size_t)length : sizeof line - 2;
  line[end] = '\n';
  (void)!write(STDERR_FILENO, line, end + 1); // a console that takes nothing is no reason to stop
}

int64_t now_ms(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(int milliseconds)
{
  struct timespec time = { milliseconds / 1000, (long)(milliseconds % 1000) * 1000000 };
  nanosleep(&time, NULL);
}

ssize_t read_at(int directory, const char *path, char *text, size_t size)
{
  int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return -1;
  size_t have = 0;
  while (have < size - 1) {
    ssize_t got = read(fd, text + have, size - 1 - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += (size_t)got;
  }
  close(fd);
  text[have] = '\0';
  return (ssize_t)have;
}

int write_at(int directory, const char *path, const void *bytes, size_t length)
{
  int fd = openat(directory, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t done = write(fd, bytes, length);
  int code = errno;
  close(fd);
  errno = code;
  return done == (ssize_t)length ? 0 : -1;
}
