/* The recurrence of selective_scan.py and its gradient, a sequence of the batch at a time.

   Shapes: x, dt, y (T, B, E); a (N, E); b, c (T, N, B); states (T, N, B, E); work (4, N, E). */

#include <stdint.h>
#include <string.h>

/* e^x for x <= 0, to within 2e-7 of it; nought below 2^-126. */
static inline float exponential(float x)
{
    float z = x * 1.44269504f;
    z = z < -126.0f ? -126.0f : z;
    int32_t whole = (int32_t)(z - 0.5f);
    float f = (z - (float)whole) * 0.69314718f; /* |f| <= ln 2 / 2 */
    float p = 1.0f + f * (1.0f + f * (0.5f + f * (1.66666667e-1f + f * (4.16666667e-2f
            + f * (8.33333333e-3f + f * 1.38888889e-3f)))));
    int32_t bits = (whole + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

void scan(int64_t T, int64_t B, int64_t E, int64_t N, const float *x, const float *dt,
          const float *a, const float *b, const float *c, float *states, float *y, float *work)
{
    for (int64_t i = 0; i < B; i++) {
        memset(work, 0, sizeof(float) * N * E);
        for (int64_t t = 0; t < T; t++) {
            const float *xt = x + (t * B + i) * E, *dtt = dt + (t * B + i) * E;
            float *restrict yt = y + (t * B + i) * E;
            memset(yt, 0, sizeof(float) * E);
            for (int64_t n = 0; n < N; n++) {
                float bt = b[(t * N + n) * B + i], ct = c[(t * N + n) * B + i];
                const float *an = a + n * E;
                float *restrict state = work + n * E;
                float *restrict kept = states + ((t * N + n) * B + i) * E;
                for (int64_t e = 0; e < E; e++) {
                    float h = state[e] * exponential(dtt[e] * an[e]) + dtt[e] * xt[e] * bt;
                    state[e] = kept[e] = h;
                    yt[e] += h * ct;
                }
            }
        }
    }
}

void scan_gradient(int64_t T, int64_t B, int64_t E, int64_t N, const float *x, const float *dt,
                   const float *a, const float *b, const float *c, const float *states,
                   const float *grad_y, float *grad_x, float *grad_dt, float *grad_a,
                   float *grad_b, float *grad_c, float *work)
{
    float *fed = work + N * E, *none = work + 2 * N * E;
    memset(grad_a, 0, sizeof(float) * N * E);
    memset(none, 0, sizeof(float) * E);
    for (int64_t i = 0; i < B; i++) {
        memset(work, 0, sizeof(float) * N * E);
        for (int64_t t = T - 1; t >= 0; t--) {
            int64_t row = (t * B + i) * E;
            const float *xt = x + row, *dtt = dt + row, *gy = grad_y + row;
            float *restrict grad_fed = fed;
            float *restrict grad_dtt = grad_dt + row;
            memset(grad_fed, 0, sizeof(float) * E);
            memset(grad_dtt, 0, sizeof(float) * E);
            for (int64_t n = 0; n < N; n++) {
                int64_t at = (t * N + n) * B + i;
                float bt = b[at], ct = c[at], of_b = 0.0f, of_c = 0.0f;
                const float *an = a + n * E, *h = states + at * E;
                const float *past = t ? states + (at - N * B) * E : none;
                float *restrict grad = work + n * E;
                float *restrict of_a = grad_a + n * E;
                for (int64_t e = 0; e < E; e++) {
                    float g = grad[e] + gy[e] * ct;
                    of_c += h[e] * gy[e];
                    of_b += g * dtt[e] * xt[e];
                    grad_fed[e] += g * bt;
                    g *= exponential(dtt[e] * an[e]);
                    grad[e] = g;
                    float of_power = g * past[e];
                    of_a[e] += of_power * dtt[e];
                    grad_dtt[e] += of_power * an[e];
                }
                grad_b[at] = of_b;
                grad_c[at] = of_c;
            }
            float *restrict grad_xt = grad_x + row;
            for (int64_t e = 0; e < E; e++) {
                grad_xt[e] = grad_fed[e] * dtt[e];
                grad_dtt[e] += grad_fed[e] * xt[e];
            }
        }
    }
}
