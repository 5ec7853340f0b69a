// What a stream of netmesh does with events, as plain as it gets in C: frame them into packets, seal the packets with OpenSSL,
// send many of them per system call; and back. Nothing is repaired: the window keeps loopback from losing anything.
// Commands and answers are lines on standard input and output.
//
//   pipeline receive BYTES          answers its port; "begin" starts the counts anew, "end" answers them
//   pipeline send BYTES PORT        "run MILLISECONDS" sends events of BYTES as fast as the window allows, and answers
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdint.h>
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

// Header, tag and datagram of a netmesh packet; the window of the streams that are compared, in packets; how many of them go
// into one joined message, and how many messages into a call.
enum { HEADER = 68, AAD = 56, TAG = 16, DATAGRAM = 8192, PAYLOAD = DATAGRAM - HEADER - TAG };
enum { WINDOW = 128, JOINED = 7, MESSAGES = 2, ROUND = JOINED * MESSAGES, ACKNOWLEDGE_EVERY = 16 };
enum { SLOTS = 4, SLOT = 65536 };

static EVP_CIPHER_CTX *cipher;
static const unsigned char key[32] = {1};

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

static int open_socket(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  int bytes = 4 << 20, on = 1;
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  require(fd >= 0, "socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  require(setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0, "UDP_GRO");
  require(bind(fd, (struct sockaddr *)&name, sizeof name) == 0, "bind");
  return fd;
}

static void nonce_of(uint64_t counter, unsigned char *nonce) {
  memset(nonce, 0, 12);
  memcpy(nonce + 4, &counter, sizeof counter);
}

static void seal(unsigned char *packet, int payload, uint64_t counter) {
  unsigned char nonce[12];
  int written;
  nonce_of(counter, nonce);
  memcpy(packet + 16, &counter, sizeof counter);
  require(EVP_EncryptInit_ex(cipher, NULL, NULL, NULL, nonce) == 1 &&
              EVP_EncryptUpdate(cipher, NULL, &written, packet, AAD) == 1 &&
              EVP_EncryptUpdate(cipher, packet + HEADER, &written, packet + HEADER, payload) == 1 &&
              EVP_EncryptFinal_ex(cipher, packet + HEADER + payload, &written) == 1 &&
              EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG, packet + HEADER + payload) == 1,
          "seal");
}

static int open_packet(unsigned char *packet, int payload) {
  unsigned char nonce[12];
  uint64_t counter;
  int written;
  memcpy(&counter, packet + 16, sizeof counter);
  nonce_of(counter, nonce);
  return EVP_DecryptInit_ex(cipher, NULL, NULL, NULL, nonce) == 1 &&
         EVP_DecryptUpdate(cipher, NULL, &written, packet, AAD) == 1 &&
         EVP_DecryptUpdate(cipher, packet + HEADER, &written, packet + HEADER, payload) == 1 &&
         EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TAG, packet + HEADER + payload) == 1 &&
         EVP_DecryptFinal_ex(cipher, packet + HEADER + payload, &written) == 1;
}

static void receive_all(void) {
  static struct mmsghdr messages[SLOTS];
  static struct iovec vectors[SLOTS];
  static struct sockaddr_in names[SLOTS];
  static char controls[SLOTS][48] __attribute__((aligned(8)));
  unsigned char *memory = malloc((size_t)SLOTS * SLOT);
  int fd = open_socket();
  struct pollfd watched[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  long events = 0;
  uint64_t packets = 0, acknowledged = 0;
  double first = 0, last = 0, cpu = cpu_microseconds();
  unsigned char consumed = 0;
  struct sockaddr_in name;
  socklen_t name_size = sizeof name;
  getsockname(fd, (struct sockaddr *)&name, &name_size);
  printf("{\"port\":%d}\n", ntohs(name.sin_port));
  fflush(stdout);
  for (;;) {
    char line[64];
    poll(watched, 2, -1);
    if (watched[1].revents != 0) {
      if (fgets(line, sizeof line, stdin) == NULL) exit(0);
      if (strncmp(line, "begin", 5) == 0) {
        events = 0;
        cpu = cpu_microseconds();
        printf("{}\n");
      } else {
        printf("{\"events\":%ld,\"milliseconds\":%f,\"cpuMicroseconds\":%f,\"byte\":%d}\n", events, (last - first) * 1e3,
               cpu_microseconds() - cpu, consumed);
      }
      fflush(stdout);
    }
    for (int i = 0; i < SLOTS; i++) {
      vectors[i] = (struct iovec){memory + (size_t)i * SLOT, SLOT};
      messages[i].msg_hdr = (struct msghdr){&names[i], sizeof names[i], &vectors[i], 1, controls[i], sizeof controls[i], 0};
    }
    int count = recvmmsg(fd, messages, SLOTS, MSG_DONTWAIT, NULL);
    if (count <= 0) continue;
    last = seconds();
    if (events == 0) first = last;
    for (int i = 0; i < count; i++) {
      unsigned size = messages[i].msg_len;
      struct cmsghdr *control = CMSG_FIRSTHDR(&messages[i].msg_hdr);
      if (control != NULL && control->cmsg_type == UDP_GRO) memcpy(&size, CMSG_DATA(control), sizeof size);
      for (unsigned at = 0; at < messages[i].msg_len; at += size) {
        unsigned char *packet = memory + (size_t)i * SLOT + at;
        unsigned length = messages[i].msg_len - at < size ? messages[i].msg_len - at : size;
        unsigned end = length - TAG;
        require(open_packet(packet, (int)(end - HEADER)), "a packet is not genuine");
        packets++;
        for (unsigned frame = HEADER; frame < end;) {
          uint32_t event;
          memcpy(&event, packet + frame, sizeof event);
          consumed ^= packet[frame + 4];
          frame += 4 + event;
          events++;
        }
      }
      if (packets - acknowledged < ACKNOWLEDGE_EVERY) continue;
      acknowledged = packets;
      sendto(fd, &packets, sizeof packets, 0, (struct sockaddr *)&names[i], sizeof names[i]);
    }
  }
}

static void send_all(int bytes, int port) {
  static struct mmsghdr messages[MESSAGES];
  static struct iovec vectors[MESSAGES];
  static char controls[MESSAGES][CMSG_SPACE(2)] __attribute__((aligned(8)));
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = open_socket();
  unsigned char *memory = calloc(ROUND, DATAGRAM), *event = malloc((size_t)bytes);
  int per_packet = PAYLOAD / (4 + bytes), payload = per_packet * (4 + bytes), size = HEADER + payload + TAG;
  uint64_t sent = 0, acknowledged = 0;
  char line[64];
  memset(event, 0x5a, (size_t)bytes);
  while (fgets(line, sizeof line, stdin) != NULL) {
    double until = seconds() + atof(line + 4) / 1000, cpu = cpu_microseconds();
    long events = 0;
    while (seconds() < until) {
      struct pollfd watched = {.fd = fd, .events = POLLIN};
      uint64_t total;
      while (recv(fd, &total, sizeof total, MSG_DONTWAIT) == sizeof total) acknowledged = total;
      if (sent - acknowledged + ROUND > WINDOW) {
        poll(&watched, 1, 10);
        continue;
      }
      for (int i = 0; i < ROUND; i++) {
        unsigned char *packet = memory + (size_t)i * (size_t)size;
        uint32_t length = (uint32_t)bytes;
        for (int k = 0; k < per_packet; k++) {
          unsigned char *frame = packet + HEADER + (size_t)k * (size_t)(4 + bytes);
          memcpy(frame, &length, sizeof length);
          memcpy(frame + 4, event, (size_t)bytes);
        }
        seal(packet, payload, sent + (uint64_t)i);
      }
      for (int i = 0; i < MESSAGES; i++) {
        unsigned short segment = (unsigned short)size;
        vectors[i] = (struct iovec){memory + (size_t)i * JOINED * (size_t)size, (size_t)JOINED * (size_t)size};
        messages[i].msg_hdr = (struct msghdr){&to, sizeof to, &vectors[i], 1, controls[i], sizeof controls[i], 0};
        struct cmsghdr *control = CMSG_FIRSTHDR(&messages[i].msg_hdr);
        control->cmsg_level = IPPROTO_UDP;
        control->cmsg_type = UDP_SEGMENT;
        control->cmsg_len = CMSG_LEN(sizeof segment);
        memcpy(CMSG_DATA(control), &segment, sizeof segment);
      }
      for (int done = 0; done < MESSAGES;) {
        int taken = sendmmsg(fd, messages + done, (unsigned)(MESSAGES - done), 0);
        if (taken > 0) done += taken;
        else require(errno == EINTR || errno == ENOBUFS, "sendmmsg");
      }
      sent += ROUND;
      events += (long)ROUND * per_packet;
    }
    printf("{\"events\":%ld,\"packets\":%ld,\"cpuMicroseconds\":%f}\n", events, events / per_packet,
           cpu_microseconds() - cpu);
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int is_sender = strcmp(argv[1], "send") == 0, bytes = atoi(argv[2]);
  unsigned char nonce[12] = {0};
  if (bytes < 1 || bytes > PAYLOAD - 4) return 2;
  cipher = EVP_CIPHER_CTX_new();
  require(EVP_CipherInit_ex(cipher, EVP_chacha20_poly1305(), NULL, key, nonce, is_sender) == 1, "OpenSSL");
  if (is_sender && argc > 3) send_all(bytes, atoi(argv[3]));
  else if (strcmp(argv[1], "receive") == 0) receive_all();
  else return 2;
}
