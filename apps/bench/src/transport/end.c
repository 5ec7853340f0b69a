// One end of a UDP measurement, as plain as it gets: the system calls that the batched socket makes, and nothing else.
// Commands and answers are lines on standard input and output; `end.ts` is the same for the sockets of netmesh.
//
//   end receive MODE BYTES          answers its port; "begin" starts the counts anew, "end" answers them
//   end send MODE BYTES PORT        "run MILLISECONDS" sends as fast as the socket takes it, and answers
//   end relay MODE BYTES PORT       answers its port, passes everything on to PORT; a line answers the work since the last
//   end echo MODE BYTES             answers its port, and sends back what arrives
//   end ping MODE BYTES PORT        "run COUNT" answers the median round trip in microseconds
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { MESSAGES = 64, JOINED_SLOTS = 16, SINGLE_SLOTS = 32, SLOT = 65536, BATCH = 512, MAX_JOINED = 65507 };

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_microseconds(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static void require(int is_good, const char *what) {
  if (is_good) return;
  perror(what);
  exit(1);
}

static int open_socket(int is_joined) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  int bytes = 4 << 20, on = 1;
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  require(fd >= 0, "socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  if (is_joined) require(setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0, "UDP_GRO");
  require(bind(fd, (struct sockaddr *)&name, sizeof name) == 0, "bind");
  return fd;
}

static void answer_port(int fd) {
  struct sockaddr_in name;
  socklen_t size = sizeof name;
  getsockname(fd, (struct sockaddr *)&name, &size);
  printf("{\"port\":%d}\n", ntohs(name.sin_port));
  fflush(stdout);
}

static void receive_all(int is_joined) {
  static struct mmsghdr messages[SINGLE_SLOTS];
  static struct iovec vectors[SINGLE_SLOTS];
  static struct sockaddr_in names[SINGLE_SLOTS];
  static char controls[SINGLE_SLOTS][48] __attribute__((aligned(8)));
  int slots = is_joined ? JOINED_SLOTS : SINGLE_SLOTS;
  char *memory = malloc((size_t)slots * SLOT);
  int fd = open_socket(is_joined);
  struct pollfd watched[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  long datagrams = 0;
  double first = 0, last = 0, cpu = cpu_microseconds();
  unsigned char consumed = 0;
  answer_port(fd);
  for (;;) {
    char line[64];
    poll(watched, 2, -1);
    if (watched[1].revents != 0) {
      if (fgets(line, sizeof line, stdin) == NULL) exit(0);
      if (strncmp(line, "begin", 5) == 0) {
        datagrams = 0;
        cpu = cpu_microseconds();
        printf("{}\n");
      } else {
        printf("{\"datagrams\":%ld,\"seconds\":%f,\"cpuMicroseconds\":%f,\"byte\":%d}\n", datagrams, last - first,
               cpu_microseconds() - cpu, consumed);
      }
      fflush(stdout);
    }
    for (int call = 0; call < 16; call++) {
      for (int i = 0; i < slots; i++) {
        vectors[i] = (struct iovec){memory + (size_t)i * SLOT, SLOT};
        messages[i].msg_hdr = (struct msghdr){&names[i],   sizeof names[i],    &vectors[i], 1,
                                              controls[i], sizeof controls[i], 0};
      }
      int count = recvmmsg(fd, messages, (unsigned)slots, MSG_DONTWAIT, NULL);
      if (count <= 0) break;
      last = seconds();
      if (datagrams == 0) first = last;
      for (int i = 0; i < count; i++) {
        unsigned size = messages[i].msg_len;
        struct cmsghdr *control = CMSG_FIRSTHDR(&messages[i].msg_hdr);
        if (control != NULL && control->cmsg_type == UDP_GRO) memcpy(&size, CMSG_DATA(control), sizeof size);
        // Every datagram is looked at, as a receiver does.
        for (unsigned at = 0; at < messages[i].msg_len; at += size) {
          consumed ^= (unsigned char)memory[(size_t)i * SLOT + at];
          datagrams++;
        }
      }
      if (count < slots) break;
    }
  }
}

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void send_all(int is_joined, int bytes, int port) {
  static struct mmsghdr messages[MESSAGES];
  static struct iovec vectors[MESSAGES];
  static char controls[MESSAGES][CMSG_SPACE(2)] __attribute__((aligned(8)));
  struct sockaddr_in to = loopback(port);
  int fd = open_socket(0);
  int joined = is_joined ? MAX_JOINED / bytes : 1;
  if (joined > 64) joined = 64;
  // As many datagrams a round as the others have in their batches.
  int count = BATCH / joined;
  if (count > MESSAGES) count = MESSAGES;
  char *memory = calloc((size_t)MESSAGES, (size_t)joined * (size_t)bytes);
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    double until = seconds() + atof(line + 4) / 1000, cpu = cpu_microseconds();
    long sent = 0;
    while (seconds() < until) {
      for (int i = 0; i < count; i++) {
        vectors[i] = (struct iovec){memory + (size_t)i * (size_t)joined * (size_t)bytes,
                                    (size_t)joined * (size_t)bytes};
        messages[i].msg_hdr = (struct msghdr){&to, sizeof to, &vectors[i], 1, NULL, 0, 0};
        if (joined > 1) {
          messages[i].msg_hdr.msg_control = controls[i];
          messages[i].msg_hdr.msg_controllen = sizeof controls[i];
          struct cmsghdr *control = CMSG_FIRSTHDR(&messages[i].msg_hdr);
          unsigned short size = (unsigned short)bytes;
          control->cmsg_level = IPPROTO_UDP;
          control->cmsg_type = UDP_SEGMENT;
          control->cmsg_len = CMSG_LEN(sizeof size);
          memcpy(CMSG_DATA(control), &size, sizeof size);
        }
      }
      int taken = sendmmsg(fd, messages, (unsigned)count, 0);
      require(taken > 0 || errno == EINTR || errno == ECONNREFUSED || errno == ENOBUFS, "sendmmsg");
      if (taken > 0) sent += (long)taken * joined;
    }
    printf("{\"datagrams\":%ld,\"cpuMicroseconds\":%f}\n", sent, cpu_microseconds() - cpu);
    fflush(stdout);
  }
}

// Joined datagrams go on joined; nothing is looked at.
static void relay_all(int is_joined, int bytes, int port) {
  static struct mmsghdr messages[SINGLE_SLOTS];
  static struct iovec vectors[SINGLE_SLOTS];
  static char controls[SINGLE_SLOTS][48] __attribute__((aligned(8)));
  int slots = is_joined ? JOINED_SLOTS : SINGLE_SLOTS;
  char *memory = malloc((size_t)slots * SLOT);
  struct sockaddr_in to = loopback(port);
  int fd = open_socket(is_joined);
  struct pollfd watched[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  long datagrams = 0;
  double cpu = cpu_microseconds();
  answer_port(fd);
  for (;;) {
    char line[64];
    poll(watched, 2, -1);
    if (watched[1].revents != 0) {
      if (fgets(line, sizeof line, stdin) == NULL) exit(0);
      printf("{\"datagrams\":%ld,\"cpuMicroseconds\":%f}\n", datagrams, cpu_microseconds() - cpu);
      fflush(stdout);
      datagrams = 0;
      cpu = cpu_microseconds();
    }
    for (int call = 0; call < 16; call++) {
      for (int i = 0; i < slots; i++) {
        vectors[i] = (struct iovec){memory + (size_t)i * SLOT, SLOT};
        messages[i].msg_hdr = (struct msghdr){NULL, 0, &vectors[i], 1, controls[i], sizeof controls[i], 0};
      }
      int count = recvmmsg(fd, messages, (unsigned)slots, MSG_DONTWAIT, NULL);
      if (count <= 0) break;
      for (int i = 0; i < count; i++) {
        unsigned size = messages[i].msg_len;
        struct cmsghdr *control = CMSG_FIRSTHDR(&messages[i].msg_hdr);
        if (control != NULL && control->cmsg_type == UDP_GRO) memcpy(&size, CMSG_DATA(control), sizeof size);
        vectors[i].iov_len = messages[i].msg_len;
        messages[i].msg_hdr = (struct msghdr){&to, sizeof to, &vectors[i], 1, NULL, 0, 0};
        datagrams += (messages[i].msg_len + size - 1) / (size > 0 ? size : 1);
        if (size >= vectors[i].iov_len) continue;
        unsigned short segment = (unsigned short)size;
        messages[i].msg_hdr.msg_control = controls[i];
        messages[i].msg_hdr.msg_controllen = CMSG_SPACE(sizeof segment);
        control = CMSG_FIRSTHDR(&messages[i].msg_hdr);
        control->cmsg_level = IPPROTO_UDP;
        control->cmsg_type = UDP_SEGMENT;
        control->cmsg_len = CMSG_LEN(sizeof segment);
        memcpy(CMSG_DATA(control), &segment, sizeof segment);
      }
      for (int done = 0; done < count;) {
        int taken = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
        if (taken > 0) done += taken;
        else require(errno == EINTR || errno == ECONNREFUSED || errno == ENOBUFS, "sendmmsg");
      }
      if (count < slots) break;
    }
  }
  (void)bytes;
}

static void echo_all(int bytes) {
  char *memory = malloc((size_t)bytes);
  int fd = open_socket(0);
  struct pollfd watched[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  answer_port(fd);
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    poll(watched, 2, -1);
    if (watched[1].revents != 0) exit(0);
    ssize_t length = recvfrom(fd, memory, (size_t)bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
    if (length >= 0) sendto(fd, memory, (size_t)length, 0, (struct sockaddr *)&from, size);
  }
}

static int ascending(const void *a, const void *b) {
  double difference = *(const double *)a - *(const double *)b;
  return difference < 0 ? -1 : difference > 0;
}

static void ping_all(int bytes, int port) {
  char *memory = calloc(1, (size_t)bytes);
  struct sockaddr_in to = loopback(port);
  int fd = open_socket(0);
  struct pollfd watched = {.fd = fd, .events = POLLIN};
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    int count = atoi(line + 4);
    double *times = malloc((size_t)count * sizeof *times);
    for (int i = 0; i < count; i++) {
      double start = seconds();
      sendto(fd, memory, (size_t)bytes, 0, (struct sockaddr *)&to, sizeof to);
      require(poll(&watched, 1, 1000) == 1, "no answer");
      recv(fd, memory, (size_t)bytes, 0);
      times[i] = (seconds() - start) * 1e6;
    }
    qsort(times, (size_t)count, sizeof *times, ascending);
    printf("{\"microseconds\":%f}\n", times[count / 2]);
    fflush(stdout);
    free(times);
  }
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int is_joined = strcmp(argv[2], "offload") == 0, bytes = atoi(argv[3]), port = argc > 4 ? atoi(argv[4]) : 0;
  if (strcmp(argv[1], "receive") == 0) receive_all(is_joined);
  else if (strcmp(argv[1], "send") == 0) send_all(is_joined, bytes, port);
  else if (strcmp(argv[1], "relay") == 0) relay_all(is_joined, bytes, port);
  else if (strcmp(argv[1], "echo") == 0) echo_all(bytes);
  else if (strcmp(argv[1], "ping") == 0) ping_all(bytes, port);
  else return 2;
}
