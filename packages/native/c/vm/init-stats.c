// pouch-init: PS and STATS, from the machine's own /proc and /sys. All of the guest's processes but init and the kernel's are the container's.
// Replies are bounded; what does not fit is left out.
#include "init.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PS_MAX (256u << 10)
#define COMMAND_MAX 4096u
#define PAGE 4096u

struct seen {
  uint32_t parent, uid;
  uint64_t start, cpu, resident;
  bool kernel;
  char name[64];
};

static bool read_process(unsigned pid, struct seen *seen)
{
  char path[48], text[1024];
  unsigned long flags, user, system;
  unsigned long long start;
  long resident;
  unsigned parent;
  char state;
  snprintf(path, sizeof path, "%u/stat", pid);
  if (read_at(machine.proc, path, text, sizeof text) <= 0) return false;
  // The name is in brackets and may hold brackets itself.
  char *open = strchr(text, '('), *close = strrchr(text, ')');
  if (open == NULL || close == NULL || close < open) return false;
  if (sscanf(close + 1, " %c %u %*d %*d %*d %*d %lu %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %llu %*u %ld", &state, &parent, &flags, &user, &system, &start, &resident) < 7) return false;
  seen->parent = parent;
  seen->kernel = pid == 2 || parent == 2 || (flags & 0x00200000) != 0; // PF_KTHREAD
  seen->cpu = user + system;
  seen->start = start;
  seen->resident = resident > 0 ? (uint64_t)resident * PAGE : 0;
  snprintf(seen->name, sizeof seen->name, "[%.*s]", (int)(close - open - 1), open + 1);
  snprintf(path, sizeof path, "%u/status", pid);
  seen->uid = 0;
  char status[2048];
  if (read_at(machine.proc, path, status, sizeof status) > 0) {
    const char *line = strstr(status, "\nUid:");
    if (line != NULL) seen->uid = (uint32_t)strtoul(line + 5, NULL, 10);
  }
  return state != 'Z' && state != 'X';
}

static DIR *open_proc(void)
{
  int fd = openat(machine.proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL && fd >= 0) close(fd);
  return directory;
}

// The next process that is the container's; 0: no more.
static unsigned next_process(DIR *directory, struct seen *seen)
{
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    if (!isdigit((unsigned char)entry->d_name[0])) continue;
    unsigned pid = (unsigned)strtoul(entry->d_name, NULL, 10);
    if (pid > 1 && read_process(pid, seen) && !seen->kernel) return pid;
  }
  return 0;
}

size_t container_pids(unsigned *pids, size_t most)
{
  DIR *directory = open_proc();
  struct seen seen;
  size_t count = 0;
  if (directory == NULL) return 0;
  for (unsigned pid; count < most && (pid = next_process(directory, &seen)) != 0;) pids[count++] = pid;
  closedir(directory);
  return count;
}

static size_t read_command(unsigned pid, const char *name, char *command)
{
  char path[48];
  snprintf(path, sizeof path, "%u/cmdline", pid);
  ssize_t length = read_at(machine.proc, path, command, COMMAND_MAX);
  while (length > 0 && command[length - 1] == '\0') length--;
  for (ssize_t i = 0; i < length; i++) command[i] = command[i] == '\0' ? ' ' : command[i];
  if (length > 0) return (size_t)length;
  strcpy(command, name);
  return strlen(name);
}

void reply_ps(uint32_t request)
{
  static char command[COMMAND_MAX];
  unsigned char *out = channel_frame(VM_PS_REPLY, 0, PS_MAX);
  DIR *directory = open_proc();
  if (out == NULL || directory == NULL) {
    fail("PS");
    if (directory != NULL) closedir(directory);
    channel_error(0, VM_PS);
    return;
  }
  put32(out, request);
  size_t have = 4;
  struct seen seen;
  for (unsigned pid; (pid = next_process(directory, &seen)) != 0;) {
    if (process_awaits((pid_t)pid)) continue;
    size_t length = read_command(pid, seen.name, command);
    if (have + 8 + 40 + length > PS_MAX) break;
    unsigned char *at = out + have;
    put16(at, VM_P_PROCESS);
    put16(at + 2, 0);
    put32(at + 4, (uint32_t)(40 + length));
    put32(at + 8, pid);
    put32(at + 12, seen.parent);
    put32(at + 16, seen.uid);
    put32(at + 20, process_id_of((pid_t)pid));
    put64(at + 24, seen.start);
    put64(at + 32, seen.cpu);
    put64(at + 40, seen.resident);
    memcpy(at + 48, command, length);
    have += 48 + length;
  }
  closedir(directory);
  channel_commit(have);
}

struct writer {
  unsigned char bytes[16384];
  size_t have;
};

static void add_record(struct writer *writer, uint16_t tag, const uint64_t *numbers, size_t count, const char *name)
{
  size_t length = count * 8 + strlen(name);
  if (writer->have + 8 + length > sizeof writer->bytes) return;
  unsigned char *at = writer->bytes + writer->have;
  put16(at, tag);
  put16(at + 2, 0);
  put32(at + 4, (uint32_t)length);
  for (size_t i = 0; i < count; i++) put64(at + 8 + 8 * i, numbers[i]);
  memcpy(at + 8 + 8 * count, name, strlen(name));
  writer->have += 8 + length;
}

static char text[32768];

static uint64_t kilobytes(const char *name)
{
  const char *at = strstr(text, name);
  return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10) * 1024;
}

static void add_memory(struct writer *writer)
{
  if (read_at(machine.proc, "meminfo", text, sizeof text) <= 0) return;
  uint64_t total = kilobytes("MemTotal:"), free_bytes = kilobytes("MemFree:"), available = kilobytes("MemAvailable:"), cached = kilobytes("\nCached:") + kilobytes("\nBuffers:");
  if (strstr(text, "MemAvailable:") == NULL) available = free_bytes + cached; // before 3.14
  uint64_t used = total > free_bytes ? total - free_bytes : 0;
  const uint64_t numbers[] = { total, available, cached, used };
  add_record(writer, VM_T_MEMORY, numbers, COUNT(numbers), "");
}

static void add_cpu(struct writer *writer)
{
  unsigned long long user, nice, system, idle, wait = 0, interrupt = 0, soft = 0;
  if (read_at(machine.proc, "stat", text, sizeof text) <= 0) return;
  if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &interrupt, &soft) < 4) return;
  uint64_t tick = 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK);
  const uint64_t numbers[] = { (user + nice) * tick, (system + interrupt + soft) * tick, (idle + wait) * tick };
  add_record(writer, VM_T_CPU, numbers, COUNT(numbers), "");
}

static void add_pids(struct writer *writer)
{
  DIR *directory = open_proc();
  struct seen seen;
  uint64_t count = 0;
  if (directory == NULL) return;
  for (unsigned pid; (pid = next_process(directory, &seen)) != 0;) count += !process_awaits((pid_t)pid);
  closedir(directory);
  add_record(writer, VM_T_PIDS, &count, 1, "");
}

static void add_links(struct writer *writer)
{
  if (read_at(machine.proc, "net/dev", text, sizeof text) <= 0) return;
  for (char *line = text, *next; line != NULL; line = next) {
    unsigned long long n[8];
    char name[32];
    next = strchr(line, '\n');
    if (next != NULL) next++;
    char *colon = strchr(line, ':');
    if (colon == NULL || (next != NULL && colon > next) || sscanf(line, " %31[^:]", name) != 1 || strcmp(name, "lo") == 0) continue;
    if (sscanf(colon + 1, "%llu %llu %llu %llu %*u %*u %*u %*u %llu %llu %llu %llu", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7]) != 8) continue;
    uint64_t numbers[8];
    for (size_t i = 0; i < 8; i++) numbers[i] = n[i];
    add_record(writer, VM_T_LINK, numbers, 8, name);
  }
}

static void add_blocks(struct writer *writer)
{
  uint64_t sum[4] = { 0 };
  if (read_at(machine.proc, "diskstats", text, sizeof text) < 0) return;
  for (char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n'), line = line == NULL ? NULL : line + 1) {
    char name[32];
    unsigned long long reads, read_sectors, writes, written_sectors;
    if (sscanf(line, " %*u %*u %31s %llu %*u %llu %*u %llu %*u %llu", name, &reads, &read_sectors, &writes, &written_sectors) != 5) continue;
    if (strncmp(name, "vd", 2) != 0 && strncmp(name, "sd", 2) != 0 && strncmp(name, "hd", 2) != 0) continue;
    if (isdigit((unsigned char)name[strlen(name) - 1])) continue; // a partition: counted with its disk
    sum[0] += read_sectors * 512;
    sum[1] += written_sectors * 512;
    sum[2] += reads;
    sum[3] += writes;
  }
  add_record(writer, VM_T_BLOCK, sum, COUNT(sum), "");
}

void reply_stats(uint32_t request)
{
  static struct writer writer;
  put32(writer.bytes, request);
  writer.have = 4;
  add_memory(&writer);
  add_cpu(&writer);
  add_pids(&writer);
  add_links(&writer);
  add_blocks(&writer);
  channel_send(VM_STATS_REPLY, 0, writer.bytes, writer.have);
}
