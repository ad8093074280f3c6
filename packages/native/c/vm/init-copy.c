// pouch-init: what a directory held, copied into the tmpfs that covers it ("tmpcopyup", as runc and podman have it).
// It follows no link and opens nothing but regular files and directories.
#include "init.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 100 // descriptors: two each

static int copy_file(int from, int to, const char *name)
{
  static char buffer[65536];
  int in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), out = in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  ssize_t got = -1;
  while (out >= 0 && (got = read(in, buffer, sizeof buffer)) > 0) {
    if (write(out, buffer, (size_t)got) != got) {
      got = -1;
      break;
    }
  }
  int code = errno;
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  errno = code;
  return got < 0 ? -1 : 0;
}

static int copy_link(int from, int to, const char *name)
{
  char target[4097];
  ssize_t length = readlinkat(from, name, target, sizeof target - 1);
  if (length < 0) return -1;
  target[length] = '\0';
  return symlinkat(target, to, name);
}

static int copy_directory(int from, int to, const char *name, int depth)
{
  if (mkdirat(to, name, 0700) < 0) return -1;
  int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  int done = in < 0 || out < 0 ? -1 : copy_tree(in, out, depth + 1), code = errno;
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  errno = code;
  return done;
}

static int copy_entry(int from, int to, const char *name, int depth)
{
  struct stat status;
  if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return -1;
  int done;
  switch (status.st_mode & S_IFMT) {
  case S_IFREG: done = copy_file(from, to, name); break;
  case S_IFDIR: done = copy_directory(from, to, name, depth); break;
  case S_IFLNK: done = copy_link(from, to, name); break;
  default: done = mknodat(to, name, status.st_mode, status.st_rdev);
  }
  if (done < 0 || fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) < 0) return -1;
  if (!S_ISLNK(status.st_mode) && fchmodat(to, name, status.st_mode & 07777, 0) < 0) return -1;
  const struct timespec times[2] = { status.st_atim, status.st_mtim };
  utimensat(to, name, times, AT_SYMLINK_NOFOLLOW); // a time is no reason to fail
  return 0;
}

int copy_tree(int from, int to, int depth)
{
  if (depth > DEPTH_MAX) return errno = ELOOP, -1;
  int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL) {
    if (fd >= 0) close(fd);
    return -1;
  }
  int done = 0;
  for (struct dirent *entry; done == 0 && (entry = readdir(directory)) != NULL;) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) done = copy_entry(from, to, entry->d_name, depth);
  }
  int code = errno;
  closedir(directory);
  errno = code;
  return done;
}
