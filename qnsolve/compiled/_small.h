/* Small matrices, by hand: for their sizes a call of BLAS costs more than its work.
 *
 * They are stored by columns with leading dimension ld, a multiple of four, and have ld columns.
 * Whole tiles are computed: what is beyond the shape of a result is of no meaning, and never read
 * but to make more of its kind.
 */
#ifndef SMALL_H
#define SMALL_H
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#define EPS DBL_EPSILON

typedef double quad __attribute__((vector_size(32), aligned(8), may_alias));

typedef long long choice __attribute__((vector_size(32)));

#ifdef __AVX2__
#define TILE 2 /* quads of rows: as many sums as there are registers for */
#else
#define TILE 1
#endif

typedef enum { SET, ADD, TAKE } How;

/* C = A B, C = D + A B or C = D - A B, of shape (rows, columns); with `lower`, its lower triangle.
 * Entry (l, j) of B is B[l * down + j * right]: its transpose by exchanging them. */
static inline __attribute__((always_inline)) void
product(How how, int lower, int rows, int columns, int inner, const double *A, const double *B,
        int down, int right, const double *D, double *C, int ld)
{
    for (int j = 0; j < columns; j += 4)
        for (int i = lower ? j / (4 * TILE) * (4 * TILE) : 0; i < rows; i += 4 * TILE) {
            quad sums[TILE][4] = {{{0.0}}};
            const double *a = A + i, *b = B + j * right;
            for (int l = 0; l < inner; l++, a += ld, b += down)
                for (int t = 0; t < TILE; t++) {
                    quad x = *(const quad *)(a + 4 * t);
                    sums[t][0] += x * b[0];
                    sums[t][1] += x * b[right];
                    sums[t][2] += x * b[2 * right];
                    sums[t][3] += x * b[3 * right];
                }
            for (int t = 0; t < TILE && i + 4 * t < rows; t++)
                for (int c = 0; c < 4; c++) {
                    int at = i + 4 * t + (j + c) * ld;
                    quad sum = sums[t][c];
                    if (how == ADD) sum = *(const quad *)(D + at) + sum;
                    if (how == TAKE) sum = *(const quad *)(D + at) - sum;
                    *(quad *)(C + at) = sum;
                }
        }
}

/* The same with B as it is, with the transpose of what is given, and A B' where it is symmetric. */
static void multiply(How how, int rows, int columns, int inner, const double *A, const double *B,
                     const double *D, double *C, int ld)
{
    product(how, 0, rows, columns, inner, A, B, 1, ld, D, C, ld);
}

static void multiply_transposed(How how, int rows, int columns, int inner, const double *A,
                                const double *B, const double *D, double *C, int ld)
{
    product(how, 0, rows, columns, inner, A, B, ld, 1, D, C, ld);
}

static void mirror(int n, double *C, int ld);

static void multiply_symmetric(How how, int n, int inner, const double *A, const double *B,
                               const double *D, double *C, int ld)
{
    product(how, 1, n, n, inner, A, B, ld, 1, D, C, ld);
    mirror(n, C, ld);
}

/* Copy the lower triangle of C onto the upper one. */
static void mirror(int n, double *C, int ld)
{
    for (int j = 0; j < n; j += 4) {
        for (int c = 1; c < 4; c++)
            for (int i = 0; i < c; i++) C[j + i + (j + c) * ld] = C[j + c + (j + i) * ld];
        for (int i = j + 4; i < n; i += 4) { /* the transpose of a block of 4 by 4 */
            const double *from = C + i + j * ld;
            double *to = C + j + i * ld;
            quad a = *(const quad *)from, b = *(const quad *)(from + ld);
            quad c = *(const quad *)(from + 2 * ld), d = *(const quad *)(from + 3 * ld);
            quad p = __builtin_shuffle(a, b, (choice){0, 4, 2, 6});
            quad q = __builtin_shuffle(a, b, (choice){1, 5, 3, 7});
            quad r = __builtin_shuffle(c, d, (choice){0, 4, 2, 6});
            quad s = __builtin_shuffle(c, d, (choice){1, 5, 3, 7});
            *(quad *)to = __builtin_shuffle(p, r, (choice){0, 1, 4, 5});
            *(quad *)(to + ld) = __builtin_shuffle(q, s, (choice){0, 1, 4, 5});
            *(quad *)(to + 2 * ld) = __builtin_shuffle(p, r, (choice){2, 3, 6, 7});
            *(quad *)(to + 3 * ld) = __builtin_shuffle(q, s, (choice){2, 3, 6, 7});
        }
    }
}

/* y += c x */
static void axpy(int n, double c, const double *restrict x, double *restrict y)
{
    for (int i = 0; i < n; i++) y[i] += c * x[i];
}

/* out = A v */
static void times(int rows, int columns, const double *A, int ld, const double *v,
                  double *restrict out)
{
    int j = 0;
    memset(out, 0, rows * sizeof(double));
    for (; j + 4 <= columns; j += 4, A += 4 * ld)
        for (int i = 0; i < rows; i++)
            out[i] += (v[j] * A[i] + v[j + 1] * A[i + ld]) +
                      (v[j + 2] * A[i + 2 * ld] + v[j + 3] * A[i + 3 * ld]);
    for (; j < columns; j++, A += ld) axpy(rows, v[j], A, out);
}

static void copy(int rows, int columns, const double *A, double *B, int ld)
{
    for (int j = 0; j < columns; j++) memcpy(B + j * ld, A + j * ld, rows * sizeof(double));
}

static void transpose(int rows, int columns, const double *A, double *out, int ld)
{
    for (int j = 0; j < columns; j++)
        for (int i = 0; i < rows; i++) out[j + i * ld] = A[i + j * ld];
}

static void identity(int n, double *A, int ld)
{
    for (int j = 0; j < n; j++) {
        memset(A + j * ld, 0, n * sizeof(double));
        A[j + j * ld] = 1.0;
    }
}

static double dot(ptrdiff_t n, const double *a, const double *b)
{
    quad t0 = {0.0}, t1 = {0.0};
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        t0 += *(const quad *)(a + i) * *(const quad *)(b + i);
        t1 += *(const quad *)(a + i + 4) * *(const quad *)(b + i + 4);
    }
    t0 += t1;
    double sum = (t0[0] + t0[1]) + (t0[2] + t0[3]);
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static int all_finite(int n, const double *A, int ld)
{
    for (int j = 0; j < n; j++)
        for (int i = 0; i < n; i++)
            if (!isfinite(A[i + j * ld])) return 0;
    return 1;
}

/* ------------------------------------------------------------------------------- factors */

/* Put the lower Cholesky factor in place of A's lower triangle; return whether A is positive
 * definite, and finite. */
static int factored(int n, double *A, int ld)
{
    for (int j = 0; j < n; j += 4) {
        int end = j + 4 < n ? j + 4 : n;
        double *panel = A + j + j * ld;
        multiply_transposed(TAKE, n - j, end - j, j, A + j, A + j, panel, panel, ld);
        for (int c = j; c < end; c++) {
            double *column = A + c * ld;
            for (int l = j; l < c; l++) axpy(n - c, -A[c + l * ld], A + c + l * ld, column + c);
            if (!(column[c] > 0.0 && column[c] < INFINITY)) return 0;
            double root = sqrt(column[c]), inverse = 1.0 / root;
            column[c] = root;
            for (int i = c + 1; i < n; i++) column[i] *= inverse;
        }
    }
    return 1;
}

/* Return the rank r of a positive semidefinite A, and columns L with A = L L' but for a remainder
 * with entries up to `least`, by Cholesky's method with pivots[0..r-1]; L[pivots] is lower
 * triangular. */
static int pivoted(int n, const double *A, double least, double *L, int ld, int *pivots,
                   double *left, double *row)
{
    int rank = 0;
    for (int i = 0; i < n; i++) left[i] = A[i + i * ld];
    for (; rank < n; rank++) {
        int p = 0;
        double *column = L + rank * ld;
        for (int i = 1; i < n; i++)
            if (left[i] > left[p]) p = i;
        if (!(left[p] > least && left[p] < INFINITY)) break;
        double inverse = 1.0 / sqrt(left[p]);
        for (int l = 0; l < rank; l++) row[l] = L[p + l * ld];
        times(n, rank, L, ld, row, column);
        for (int i = 0; i < n; i++) column[i] = (A[i + p * ld] - column[i]) * inverse;
        for (int l = 0; l < rank; l++) column[pivots[l]] = 0.0;
        column[p] = left[p] * inverse;
        for (int i = 0; i < n; i++) left[i] -= column[i] * column[i];
        pivots[rank] = p;
        left[p] = -INFINITY;
    }
    return rank;
}

/* x = L^{-1} x */
static void solve_lower(int n, const double *L, int ld, double *x)
{
    for (int j = 0; j < n; j++) {
        x[j] /= L[j + j * ld];
        axpy(n - j - 1, -x[j], L + j + 1 + j * ld, x + j + 1);
    }
}

/* x = L^{-T} x */
static void solve_transposed(int n, const double *L, int ld, double *x)
{
    for (int j = n - 1; j >= 0; j--)
        x[j] = (x[j] - dot(n - j - 1, L + j + 1 + j * ld, x + j + 1)) / L[j + j * ld];
}

/* X = X L^{-T}, X of shape (rows, n); `upper` where X is upper triangular, and stays so. */
static void solve_right(int rows, int n, const double *L, double *X, int ld, int upper)
{
    for (int j = 0; j < n; j += 4) {
        int end = j + 4 < n ? j + 4 : n, high = upper && end < rows ? end : rows;
        multiply_transposed(TAKE, high, end - j, j, X, L + j, X + j * ld, X + j * ld, ld);
        for (int c = j; c < end; c++) {
            double *column = X + c * ld, inverse = 1.0 / L[c + c * ld];
            for (int l = j; l < c; l++) axpy(high, -L[c + l * ld], X + l * ld, column);
            for (int i = 0; i < high; i++) column[i] *= inverse;
        }
    }
}

/* Put the inverse of the Cholesky factor's transpose, upper triangular, into X.
 * Return the sum of its squares, the trace of the inverse matrix. */
static double inverted(int n, const double *L, double *X, int ld)
{
    double trace = 0.0;
    identity(n, X, ld);
    solve_right(n, n, L, X, ld, 1);
    for (int j = 0; j < n; j++) trace += dot(j + 1, X + j * ld, X + j * ld);
    return trace;
}

/* Put the inverse of a symmetric A into X, by Gauss and Jordan with partial pivoting on columns;
 * return 0 where A is singular.  A is overwritten. */
static int inverse(int n, double *A, double *X, int ld)
{
    identity(n, X, ld);
    for (int j = 0; j < n; j++) {
        int p = j;
        for (int c = j + 1; c < n; c++)
            if (fabs(A[j + c * ld]) > fabs(A[j + p * ld])) p = c;
        double pivot = A[j + p * ld];
        if (!(fabs(pivot) > 0.0 && fabs(pivot) < INFINITY)) return 0;
        for (int i = 0; i < n; i++) { /* exchange two columns, and scale the first */
            double a = A[i + p * ld], x = X[i + p * ld];
            A[i + p * ld] = A[i + j * ld];
            X[i + p * ld] = X[i + j * ld];
            A[i + j * ld] = a / pivot;
            X[i + j * ld] = x / pivot;
        }
        for (int c = 0; c < n; c++) {
            double by = -A[j + c * ld];
            if (c == j || by == 0.0) continue;
            axpy(n - j, by, A + j + j * ld, A + j + c * ld);
            axpy(n, by, X + j * ld, X + c * ld);
        }
    }
    return 1;
}

/* ---------------------------------------------------------------------------- eigenvalues */

/* A = Q T Q': diagonal of T to d, what is beside it to e; Q is the product of I - tau_j v_j v_j',
 * v_j from row j + 1 on in column j of A (Golub and Van Loan 2013, Algorithm 8.3.1). */
static void tridiagonal(int n, double *A, int ld, double *d, double *e, double *tau, double *w)
{
    for (int j = 0; j < n; j++) {
        double *restrict v = A + j + 1 + j * ld, *rest = A + (j + 1) * (ld + 1);
        int m = n - j - 1;
        d[j] = A[j + j * ld];
        if (!m) break;
        double first = v[0], below = dot(m - 1, v + 1, v + 1);
        e[j] = first;
        tau[j] = 0.0;
        if (below == 0.0) continue;
        e[j] = -copysign(sqrt(first * first + below), first);
        tau[j] = 1.0 - first / e[j];
        double unit = 1.0 / (first - e[j]);
        for (int i = 1; i < m; i++) v[i] *= unit;
        v[0] = 1.0;
        times(m, m, rest, ld, v, w);
        double half = 0.5 * tau[j] * dot(m, w, v);
        for (int i = 0; i < m; i++) w[i] = tau[j] * (w[i] - half * v[i]);
        for (int c = 0; c < m; c++) {
            double *restrict a = rest + c * ld, by_v = w[c], by_w = v[c];
            for (int i = 0; i < m; i++) a[i] -= by_v * v[i] + by_w * w[i];
        }
    }
}

/* x = Q' x */
static void turn_to(int n, const double *A, int ld, const double *tau, double *x)
{
    for (int j = 0; j + 1 < n; j++) {
        const double *v = A + j + 1 + j * ld;
        if (tau[j] != 0.0) axpy(n - j - 1, -tau[j] * dot(n - j - 1, v, x + j + 1), v, x + j + 1);
    }
}

/* x = Q x */
static void turn_back(int n, const double *A, int ld, const double *tau, double *x)
{
    for (int j = n - 2; j >= 0; j--) {
        const double *v = A + j + 1 + j * ld;
        if (tau[j] != 0.0) axpy(n - j - 1, -tau[j] * dot(n - j - 1, v, x + j + 1), v, x + j + 1);
    }
}

#define MAX_SHIFTS 30 /* QR steps an eigenvalue; two are usual */

/* Eigenvalues of A to d and eigenvectors to Z, in no order, by the symmetric QR method (Golub and
 * Van Loan 2013, Algorithm 8.3.3); return whether it converged.  A is overwritten. */
static int eigenvectors(int n, double *A, double *d, double *Z, int ld, double *e, double *tau)
{
    if (!all_finite(n, A, ld)) return 0;
    tridiagonal(n, A, ld, d, e, tau, Z);
    identity(n, Z, ld);
    for (int j = 0; j < n; j++) turn_back(n, A, ld, tau, Z + j * ld);
    int steps = 0;
    for (int high = n - 1; high > 0;) {
        int low = high;
        while (low > 0 && fabs(e[low - 1]) > EPS * (fabs(d[low - 1]) + fabs(d[low]))) low--;
        if (low == high) {
            high--;
            steps = 0;
            continue;
        }
        if (++steps > MAX_SHIFTS) return 0;
        double half = 0.5 * (d[high - 1] - d[high]), b = e[high - 1];
        double shift = d[high] - b / (half + copysign(hypot(half, b), half)) * b;
        double x = d[low] - shift, z = e[low];
        for (int k = low; k < high; k++) {
            double length = sqrt(x * x + z * z), c = 1.0, s = 0.0;
            if (length > 0.0) c = x / length, s = z / length;
            if (k > low) e[k - 1] = length;
            double mean = c * d[k] + s * e[k], other = c * e[k] + s * d[k + 1];
            double second = c * d[k + 1] - s * e[k], cross = c * e[k] - s * d[k];
            d[k] = c * mean + s * other;
            d[k + 1] = c * second - s * cross;
            x = e[k] = c * other - s * mean;
            if (k + 1 < high) {
                z = s * e[k + 1];
                e[k + 1] *= c;
            }
            for (double *p = Z + k * ld; p < Z + k * ld + n; p += 4) {
                quad first = *(quad *)p, second = *(quad *)(p + ld);
                *(quad *)p = c * first + s * second;
                *(quad *)(p + ld) = c * second - s * first;
            }
        }
    }
    return 1;
}

/* Factor T + shift I = L D L', L with `below` under its unit diagonal; return how many of D are
 * positive before the first that is not. */
static int tridiagonal_factored(int n, const double *d, const double *e, double shift, double *D,
                                double *below)
{
    for (int j = 0; j < n; j++) {
        D[j] = d[j] + shift;
        if (j) {
            below[j - 1] = e[j - 1] / D[j - 1];
            D[j] -= below[j - 1] * e[j - 1];
        }
        if (!(D[j] > 0.0 && D[j] < INFINITY)) return j;
    }
    return n;
}
#endif
