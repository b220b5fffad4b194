/*
 * sha256.h: SHA-256 (FIPS 180-4) and HMAC (RFC 2104), for firmware that has none. C99, no malloc,
 * about 0.4 KB of stack. Bring your own, or your chip's, if you have it: pike.h takes pointers.
 */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sha256 {
  uint32_t state[8];
  uint64_t length;
  uint8_t block[64];
};

static uint32_t sha256__turn(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

static void sha256__block(struct sha256 *s)
{
  static const uint32_t k[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
      0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
      0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
      0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
      0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
      0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
      0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  uint32_t w[16], v[8];
  unsigned i;
  for (i = 0; i < 16; i++)
    w[i] = (uint32_t)s->block[4 * i] << 24 | (uint32_t)s->block[4 * i + 1] << 16 |
           (uint32_t)s->block[4 * i + 2] << 8 | s->block[4 * i + 3];
  memcpy(v, s->state, sizeof v);
  for (i = 0; i < 64; i++) {
    uint32_t t, u;
    if (i >= 16) {
      uint32_t a = w[(i + 1) & 15], b = w[(i + 14) & 15];
      w[i & 15] += (sha256__turn(a, 7) ^ sha256__turn(a, 18) ^ a >> 3) + w[(i + 9) & 15] +
                   (sha256__turn(b, 17) ^ sha256__turn(b, 19) ^ b >> 10);
    }
    t = v[7] + (sha256__turn(v[4], 6) ^ sha256__turn(v[4], 11) ^ sha256__turn(v[4], 25)) +
        ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i & 15];
    u = (sha256__turn(v[0], 2) ^ sha256__turn(v[0], 13) ^ sha256__turn(v[0], 22)) +
        ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof v[0]);
    v[4] += t;
    v[0] = t + u;
  }
  for (i = 0; i < 8; i++) s->state[i] += v[i];
}

static void sha256_start(struct sha256 *s)
{
  static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(s->state, first, sizeof first);
  s->length = 0;
}

static void sha256_add(struct sha256 *s, const uint8_t *octets, size_t length)
{
  for (; length > 0; length--) {
    s->block[s->length++ % 64] = *octets++;
    if (s->length % 64 == 0) sha256__block(s);
  }
}

static void sha256_end(struct sha256 *s, uint8_t out[32])
{
  uint64_t bits = s->length * 8;
  uint8_t octet = 0x80;
  unsigned i;
  do {
    sha256_add(s, &octet, 1);
    octet = 0;
  } while (s->length % 64 != 56);
  for (i = 0; i < 8; i++) {
    octet = (uint8_t)(bits >> (56 - 8 * i));
    sha256_add(s, &octet, 1);
  }
  for (i = 0; i < 32; i++) out[i] = (uint8_t)(s->state[i / 4] >> (24 - 8 * (i % 4)));
}

/* `out` may be `octets` or `key`. */
static void sha256(const uint8_t *octets, size_t length, uint8_t out[32])
{
  struct sha256 s;
  sha256_start(&s);
  sha256_add(&s, octets, length);
  sha256_end(&s, out);
}

static void hmac_sha256(const uint8_t *key, size_t key_length, const uint8_t *octets,
                        size_t length, uint8_t out[32])
{
  struct sha256 s;
  uint8_t pad[64] = {0}, inner[32];
  unsigned i;
  if (key_length > 64) sha256(key, key_length, pad);
  else if (key_length > 0) memcpy(pad, key, key_length);
  for (i = 0; i < 64; i++) pad[i] ^= 0x36;
  sha256_start(&s);
  sha256_add(&s, pad, 64);
  sha256_add(&s, octets, length);
  sha256_end(&s, inner);
  for (i = 0; i < 64; i++) pad[i] ^= 0x36 ^ 0x5c;
  sha256_start(&s);
  sha256_add(&s, pad, 64);
  sha256_add(&s, inner, 32);
  sha256_end(&s, out);
}

#endif /* SHA256_H */
