// files DIRECTORY: what small files and one big file cost there, as one line of JSON: µs for each file, MB/s. Part of `npm run bench -- vm`.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES 300
#define SMALL 4096
#define BLOCK (1 << 20)
#define BLOCKS 128

static char block[BLOCK];
static char path[4096];

static void fail(const char *what)
{
	fprintf(stderr, "files: %s: %s: %s\n", path, what, strerror(errno));
	exit(1);
}

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void create(void)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || write(fd, block, SMALL) != SMALL || close(fd) < 0) fail("create");
}

static void look(void)
{
	struct stat about;
	if (stat(path, &about) < 0 || about.st_size != SMALL) fail("stat");
}

static void take(void)
{
	int fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, block, SMALL) != SMALL || close(fd) < 0) fail("read");
}

static void drop(void)
{
	if (unlink(path) < 0) fail("unlink");
}

static double each(const char *directory, void (*work)(void))
{
	double began = now_us();
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof path, "%s/small-%d", directory, i);
		work();
	}
	return (now_us() - began) / FILES;
}

static double whole(const char *directory, int flags, int sync)
{
	snprintf(path, sizeof path, "%s/big", directory);
	int fd = open(path, flags, 0644);
	if (fd < 0) fail("open");
	if (!sync && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) fail("fadvise");
	double began = now_us();
	for (int i = 0; i < BLOCKS; i++)
		if ((sync ? write(fd, block, BLOCK) : read(fd, block, BLOCK)) != BLOCK) fail(sync ? "write" : "read");
	if (sync && fsync(fd) < 0) fail("fsync");
	double rate = (double)BLOCKS * BLOCK / (now_us() - began);
	close(fd);
	return rate;
}

int main(int count, char **arguments)
{
	if (count != 2) {
		fprintf(stderr, "usage: files DIRECTORY\n");
		return 64;
	}
	const char *at = arguments[1];
	double created = each(at, create), looked = each(at, look), taken = each(at, take), dropped = each(at, drop);
	double written = whole(at, O_WRONLY | O_CREAT | O_TRUNC, 1), read_back = whole(at, O_RDONLY, 0);
	if (unlink(path) < 0) fail("unlink");
	printf("{\"create\":%.1f,\"stat\":%.1f,\"read\":%.1f,\"unlink\":%.1f,\"writeMBs\":%.1f,\"readMBs\":%.1f}\n", created, looked, taken, dropped, written, read_back);
	return 0;
}
