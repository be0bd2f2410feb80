/* One iteration of the model of hybrid-tr and lsr1-tr: NumPy float64, the l2 norm, one process.
 *
 * It does what quasi_newton/{pairs,scaling,hybrid,lsr1,spectrum,on_basis,tracking}.py and
 * subproblem/{trust_region_l2,secular}.py do on their usual way, which define it and name its
 * constants.  Where a case is not usual it changes nothing and returns None: the caller then lets
 * that code do it.  BLAS and LAPACK are SciPy's, through scipy.linalg.cython_blas and
 * cython_lapack: nothing is linked, and matrices are stored by columns, with leading dimension ld.
 */
#ifndef MODULE
#define MODULE _model
#endif
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* quasi_newton/hybrid.py */
#define LEAST_COSINE 1e-10
#define SATISFIED 1e-12
#define FLOOR 1e-2
/* quasi_newton/spectrum.py */
#define CANCELLATION 1e-2
#define LITTLE_LEFT 1e-4
#define FAST 1e-6
#define RANK_NOISE 8.0
#define SECOND_PASS_RANK 1e-2
/* quasi_newton/tracking.py */
#define DIRECT 0.1
#define CANCELLED 1e-2
/* quasi_newton/scaling.py */
#define MIN_COSINE 1e-8
#define MAX_WINDOW 64
#define WINDOW 7
/* quasi_newton/factored.py */
#define MAX_CONDITION 1e12
/* subproblem/secular.py */
#define MAX_NEWTON 100
#define SECULAR 1e-12 /* how far from the radius a step on its boundary may be, by rounding */

#define EPS DBL_EPSILON
#define SMALLEST_SQUARE (DBL_MIN / DBL_EPSILON)
#define LARGEST_SQUARE (DBL_MAX * DBL_EPSILON)
#define CHUNK 1024 /* entries of a vector handled at a time: as many rows stay in the cache */

/* ------------------------------------------------------------------- what is SciPy's: long vectors */

static void (*dgemm)(char *, char *, int *, int *, int *, double *, double *, int *, double *,
                     int *, double *, double *, int *);
static void (*dgemv)(char *, int *, int *, double *, double *, int *, double *, int *, double *,
                     double *, int *);
static void (*dsyevd)(char *, char *, int *, double *, int *, double *, double *, int *, int *,
                      int *, int *);

/* y = alpha op(A) x + beta y, A of shape (rows, columns). */
static void apply(char op, Py_ssize_t rows, int columns, double alpha, const double *A, int ld,
                  const double *x, double beta, double *y)
{
    int m = (int)rows, one = 1;
    dgemv(&op, &m, &columns, &alpha, (double *)A, &ld, (double *)x, &one, &beta, y, &one);
}

/* ----------------------------------------------------------------------- small matrices, by hand
 *
 * For these sizes a call of BLAS costs more than its work.  ld is a multiple of four, and whole
 * tiles are computed: what is beyond the shape of a result is of no meaning, and never read but to
 * make more of its kind.
 */

typedef double quad __attribute__((vector_size(32), aligned(8), may_alias));

#ifdef __AVX2__
#define TILE 2 /* quads of rows: as many sums as there are registers for */
#else
#define TILE 1
#endif

/* C = A B + beta C or, with `minus`, C = beta C - A B, of shape (rows, columns).
 * Entry (l, j) of B is B[l * down + j * right]: its transpose by exchanging them. */
static void product(int rows, int columns, int inner, const double *A, const double *B, int down,
                    int right, double beta, double *C, int ld, int minus)
{
    for (int j = 0; j < columns; j += 4)
        for (int i = 0; i < rows; i += 4 * TILE) {
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
                    quad *to = (quad *)(C + i + 4 * t + (j + c) * ld);
                    quad sum = minus ? -sums[t][c] : sums[t][c];
                    if (beta != 0.0) sum += beta * *to;
                    *to = sum;
                }
        }
}

/* y += c x */
static void axpy(int n, double c, const double *restrict x, double *restrict y)
{
    for (int i = 0; i < n; i++) y[i] += c * x[i];
}

/* out = A v */
static void times(int rows, int columns, const double *A, int ld, const double *v, double *out)
{
    memset(out, 0, rows * sizeof(double));
    for (int j = 0; j < columns; j++) axpy(rows, v[j], A + j * ld, out);
}

static void transpose(int rows, int columns, const double *A, double *out, int ld)
{
    for (int j = 0; j < columns; j++)
        for (int i = 0; i < rows; i++) out[j + i * ld] = A[i + j * ld];
}

static double dot(Py_ssize_t n, const double *a, const double *b)
{
    double t0 = 0.0, t1 = 0.0, t2 = 0.0, t3 = 0.0;
    Py_ssize_t i = 0;
    for (; i + 4 <= n; i += 4) {
        t0 += a[i] * b[i];
        t1 += a[i + 1] * b[i + 1];
        t2 += a[i + 2] * b[i + 2];
        t3 += a[i + 3] * b[i + 3];
    }
    for (; i < n; i++) t0 += a[i] * b[i];
    return (t0 + t1) + (t2 + t3);
}

static int has_digits(double square)
{
    return SMALLEST_SQUARE <= square && square <= LARGEST_SQUARE;
}

/* ---------------------------------------------------------------------------------- the model */

enum { LENGTH_RATIO, SMOOTHED, WINDOW_MAX };

typedef struct {
    PyObject_HEAD
    /* Settings. */
    int n, m, ld, hybrid, re_applied, drop, sweeps, rule;
    double skip;
    /* Rows W, Gram matrix W W', products W g: arrays of the caller. */
    Py_buffer buffers[3];
    double *W, *G, *Wg;
    /* Pairs, oldest first: the slot of each; slots used so far. */
    int k, used, *order;
    double gamma, ratios[MAX_WINDOW];
    int n_ratios;
    /* The matrix on its basis U = W' C: H in units of `unit`, its Cholesky factor F. */
    int unusual, built, whole, triangular, r, definite, diagonalised, reflect;
    double unit, rounding, *C, *R, *H, *F, *P, *lam;
    /* The gradient in it. */
    int split;
    double norm, norm_perp, *par, *carrier_par, *g_perp;
    int carrier_is_perp;
    /* The last step, and what a pair on it would add. */
    double *s, *y, *Ws, *Wy, *Wg_new;
    /* The inner matrix of SR1: M^{-1} = half diag(weights) half'. */
    double *half, *weights;
    /* Work space. */
    double *memory, *S, *Y, *A, *B, *T, *X, *L, *Z, *v1, *v2, *v3, *lapack, *columns;
    int *iwork, lwork, liwork;
} Model;

/* Put the lower Cholesky factor in place of A's lower triangle; return whether A is positive
 * definite, and finite. */
static int factored(int n, double *A, int ld)
{
    for (int j = 0; j < n; j++) {
        double *column = A + j * ld;
        for (int l = 0; l < j; l++) axpy(n - j, -A[j + l * ld], A + j + l * ld, column + j);
        if (!(column[j] > 0.0 && column[j] < INFINITY)) return 0;
        double root = sqrt(column[j]);
        column[j] = root;
        for (int i = j + 1; i < n; i++) column[i] /= root;
    }
    return 1;
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
    for (int j = n - 1; j >= 0; j--) {
        for (int i = j + 1; i < n; i++) x[j] -= L[i + j * ld] * x[i];
        x[j] /= L[j + j * ld];
    }
}

/* X = X L^{-T}, X of shape (rows, n) */
static void solve_right(int rows, int n, const double *L, double *X, int ld)
{
    for (int j = 0; j < n; j++) {
        double *column = X + j * ld;
        for (int l = 0; l < j; l++) axpy(rows, -L[j + l * ld], X + l * ld, column);
        for (int i = 0; i < rows; i++) column[i] /= L[j + j * ld];
    }
}

/* Entry of W W', in an array of the caller's. */
#define GRAM(i, j) self->G[(i) + (j) * 2 * self->m]

/* Eigenvalues to `lam`, ascending, eigenvectors in place of A; return whether it converged. */
static int diagonalise(Model *self, int n, double *A, double *lam)
{
    int info, ld = self->ld;
    if (!n) return 1;
    for (int j = 0; j < n; j++)
        for (int i = j; i < n; i++)
            if (!isfinite(A[i + j * ld])) return 0;
    dsyevd("V", "L", &n, A, &ld, lam, self->lapack, &self->lwork, self->iwork, &self->liwork,
           &info);
    return info == 0;
}

static void copy(int rows, int columns, const double *A, double *B, int ld)
{
    for (int j = 0; j < columns; j++) memcpy(B + j * ld, A + j * ld, rows * sizeof(double));
}

/* Put the inverse of the Cholesky factor's transpose, upper triangular, into X.
 * Return the sum of its squares, the trace of the inverse matrix. */
static double inverted(int n, const double *L, double *X, int ld)
{
    double trace = 0.0, *x;
    for (int j = 0; j < n; j++) {
        /* Row j of X is column j of L^{-1}: made in place of the column below it. */
        x = X + j * ld;
        memset(x, 0, n * sizeof(double));
        x[j] = 1.0;
        solve_lower(n - j, L + j + j * ld, ld, x + j);
        trace += dot(n - j, x + j, x + j);
    }
    for (int j = 0; j < n; j++)
        for (int i = 0; i < j; i++) {
            X[i + j * ld] = X[j + i * ld];
            X[j + i * ld] = 0.0;
        }
    return trace;
}

/* out = W v, over the rows used. */
static void products(Model *self, const double *v, double *out)
{
    for (Py_ssize_t at = 0; at < self->n; at += CHUNK) {
        Py_ssize_t width = self->n - at < CHUNK ? self->n - at : CHUNK;
        apply('T', width, 2 * self->used, 1.0, self->W + at, self->n, v + at, at ? 1.0 : 0.0, out);
    }
}

/* s = W' c + alpha v, and where asked for Ws = W s, in one reading of W. */
static void combine(Model *self, const double *c, double alpha, const double *v, double *s,
                    double *Ws)
{
    int rows = 2 * self->used;
    for (Py_ssize_t at = 0; at < self->n; at += CHUNK) {
        Py_ssize_t width = self->n - at < CHUNK ? self->n - at : CHUNK;
        if (alpha != 0.0)
            for (Py_ssize_t i = at; i < at + width; i++) s[i] = alpha * v[i];
        apply('N', width, rows, 1.0, self->W + at, self->n, c, alpha != 0.0, s + at);
        if (Ws) apply('T', width, rows, 1.0, self->W + at, self->n, s + at, at ? 1.0 : 0.0, Ws);
    }
}

/* ------------------------------------------------------------------------------- the basis U */

/* Make the first `weak` vectors of the basis orthonormal to all; C, R and r change. */
static int second_pass(Model *self, int weak, int q)
{
    int ld = self->ld, r = self->r, rows = 2 * self->used, n = self->n, width = CHUNK;
    double one = 1.0, zero = 0.0, *T = self->T, *X = self->X, *Z = self->Z, *A = self->A;
    if (!self->columns) {
        self->columns = malloc(sizeof(double) * CHUNK * ld);
        if (!self->columns) return 0;
    }
    for (int at = 0; at < n; at += CHUNK) {
        int part = n - at < CHUNK ? n - at : CHUNK;
        double *beta = at ? &one : &zero;
        dgemm("N", "N", &part, &weak, &rows, &one, self->W + at, &n, self->C, &ld, &zero,
              self->columns, &width);
        dgemm("T", "N", &weak, &rows, &part, &one, self->columns, &width, self->W + at, &n, beta,
              T, &ld);
        dgemm("T", "N", &weak, &weak, &part, &one, self->columns, &width, self->columns, &width,
              beta, X, &ld);
    }
    product(weak, r, rows, T, self->C, 1, ld, 0.0, Z, ld, 0);
    for (int j = 0; j < r; j++)
        for (int i = j; i < r; i++)
            A[i + j * ld] = i < weak ? X[i + j * ld] : j < weak ? Z[j + i * ld] : i == j;
    copy(r, r, A, T, ld);
    copy(rows, r, self->C, Z, ld);
    copy(r, q, self->R, self->B, ld);
    if (factored(r, T, ld) && inverted(r, T, X, ld) <= 1.0 / SECOND_PASS_RANK) {
        product(rows, r, r, Z, X, 1, ld, 0.0, self->C, ld, 0);
        for (int j = 1; j < r; j++)
            for (int i = 0; i < j; i++) T[i + j * ld] = 0.0;
        transpose(r, r, T, X, ld);
        product(r, q, r, X, self->B, 1, ld, 0.0, self->R, ld, 0);
        return 1;
    }
    /* Exactly 1 in exact arithmetic; far less where the first pass kept rounding error. */
    if (!diagonalise(self, r, A, self->v1)) return 0;
    int first = 0;
    while (first < r && !(self->v1[first] > SECOND_PASS_RANK)) first++;
    self->r = r - first;
    transpose(r, self->r, A + first * ld, X, ld);
    product(self->r, q, r, X, self->B, 1, ld, 0.0, self->R, ld, 0);
    product(rows, self->r, r, Z, A + first * ld, 1, ld, 0.0, self->C, ld, 0);
    for (int j = 0; j < self->r; j++) {
        double root = sqrt(self->v1[first + j]);
        for (int i = 0; i < rows; i++) self->C[i + j * ld] /= root;
        for (int i = 0; i < q; i++) self->R[j + i * ld] *= root;
    }
    return 1;
}

/* Write row i of the coefficients of column i into those of the rows: C = E X / scale. */
static void spread(Model *self, int q, const double *X, const double *scale)
{
    int ld = self->ld, k = self->k;
    for (int j = 0; j < self->r; j++) {
        double *c = self->C + j * ld;
        memset(c, 0, 2 * self->used * sizeof(double));
        for (int i = 0; i < q; i++) {
            double value = X[i + j * ld] / scale[i];
            if (self->hybrid) {
                c[2 * self->order[i % k] + (i >= k)] = value;
            } else {
                c[2 * self->order[i] + 1] = value;
                c[2 * self->order[i]] = -self->gamma * value;
            }
        }
    }
}

/* Orthonormal U = W' C and R with columns U R; A is the Gram matrix of the columns, scaled. */
static int make_basis(Model *self, int q, double *A, const double *scale)
{
    int ld = self->ld, n = self->n;
    double *F = self->T, *X = self->X, *t = self->v1, noise = RANK_NOISE * q * EPS, trace = INFINITY;
    int weak = 0;
    copy(q, q, A, F, ld);
    if (q <= n && factored(q, F, ld)) trace = inverted(q, F, X, ld);
    self->triangular = trace <= FAST / EPS;
    if (trace <= 1.0 / noise) { /* no direction is below the rounding error */
        self->r = q;
        int *order = self->iwork; /* the longest vectors first, if some are too long */
        for (int j = 0; j < q; j++) {
            t[j] = dot(j + 1, X + j * ld, X + j * ld);
            weak += EPS * t[j] > FAST;
            int at = j;
            for (; !self->triangular && at > 0 && t[order[at - 1]] < t[j]; at--) order[at] = order[at - 1];
            order[at] = j;
        }
        double *ordered = X;
        if (!self->triangular) {
            ordered = A;
            for (int j = 0; j < q; j++) memcpy(A + j * ld, X + order[j] * ld, q * sizeof(double));
        }
        spread(self, q, ordered, scale);
        for (int j = 0; j < q; j++)
            for (int i = 0; i < q; i++)
                self->R[i + j * ld] = order[i] <= j ? F[j + order[i] * ld] * scale[j] : 0.0;
        return self->triangular || !weak || second_pass(self, weak, q);
    }
    if (!diagonalise(self, q, A, t)) return 0;
    int first = q > n ? q - n : 0;
    while (first < q && !(t[first] > noise)) first++;
    self->r = q - first;
    for (int j = 0; j < self->r; j++) {
        double root = sqrt(t[first + j]), *z = A + (first + j) * ld;
        weak += EPS > FAST * t[first + j];
        for (int i = 0; i < q; i++) {
            self->R[j + i * ld] = root * z[i] * scale[i];
            X[i + j * ld] = z[i] / root;
        }
    }
    spread(self, q, X, scale);
    return weak ? second_pass(self, weak, q) : 1;
}

/* ------------------------------------------------------------------------- the matrix H on it */

/* BFGS sweeps over the ku usable pairs into B, r x r, from I; S is zero from row `high` on. */
static int swept(Model *self, int count, int ku, int high, const double *S, const double *YL,
                 const double *LL, const double *YY, double *B)
{
    int ld = self->ld, r = self->r;
    double *BS = self->X, *T = self->T, *St = self->R;
    transpose(high, ku, S, St, ld);
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++) B[i + j * ld] = i == j;
    for (int sweep = 0; sweep < count && ku; sweep++) {
        product(r, ku, high, B, S, 1, ld, 0.0, BS, ld, 0);
        copy(ku, ku, LL, T, ld);
        product(ku, ku, high, St, BS, 1, ld, 1.0, T, ld, 0);
        if (!factored(ku, T, ld)) break;
        for (int j = 0; j < ku; j++) axpy(r, 1.0, YL + j * ld, BS + j * ld);
        solve_right(r, ku, T, BS, ld);
        for (int j = 0; j < r; j++) axpy(r, 1.0, YY + j * ld, B + j * ld);
        product(r, r, ku, BS, BS, ld, 1, 1.0, B, ld, 1);
    }
    copy(r, r, B, self->F, ld);
    return factored(r, self->F, ld);
}

static int build_hybrid(Model *self)
{
    int k = self->k, ld = self->ld, n = self->n;
    double *S = self->S, *Y = self->Y, *scale = self->v3;
    self->whole = 2 * k >= n;
    for (int j = 0; j < k; j++) {
        int p = 2 * self->order[j];
        double ss = GRAM(p, p), yy = GRAM(p + 1, p + 1);
        if (!(yy > 0.0)) return 0; /* f is linear along s: the sign of a curvature may be rounding */
        scale[j] = sqrt(ss);
        scale[k + j] = sqrt(yy);
    }
    if (self->whole) {
        self->r = n;
        for (int j = 0; j < k; j++) {
            const double *row = self->W + (Py_ssize_t)2 * self->order[j] * n;
            for (int i = 0; i < n; i++) {
                S[i + j * ld] = row[i] / scale[j];
                Y[i + j * ld] = row[n + i] / scale[j] / self->gamma;
            }
        }
    } else {
        for (int j = 0; j < 2 * k; j++)
            for (int i = 0; i < 2 * k; i++) {
                int a = 2 * self->order[i % k] + (i >= k), b = 2 * self->order[j % k] + (j >= k);
                self->A[i + j * ld] = GRAM(a, b) / scale[i] / scale[j];
            }
        if (!make_basis(self, 2 * k, self->A, scale)) return 0;
        for (int j = 0; j < k; j++)
            for (int i = 0; i < self->r; i++) {
                S[i + j * ld] = self->R[i + j * ld] / scale[j];
                Y[i + j * ld] = self->R[i + (k + j) * ld] / scale[j] / self->gamma;
            }
    }
    /* 1. BFGS, several sweeps over all pairs of positive curvature. */
    int r = self->r, ku = 0;
    double *Su = self->L, *YL = self->Z, *LL = self->A, *YY = self->P, *SY = self->R, *Yu = self->T;
    double newest = 0.0;
    for (int j = 0; j < k; j++) {
        const double *s = S + j * ld, *y = Y + j * ld;
        double sy = dot(r, s, y), yy = dot(r, y, y);
        newest = sy / sqrt(yy);
        if (!(sy > LEAST_COSINE * sqrt(dot(r, s, s)) * sqrt(yy))) continue;
        double root = sqrt(sy);
        for (int i = 0; i < r; i++) {
            Su[i + ku * ld] = s[i] / root;
            Yu[i + ku * ld] = y[i] / root;
        }
        ku++;
    }
    int high = self->triangular && !self->whole ? k : r;
    transpose(high, ku, Su, self->X, ld);
    product(ku, ku, high, self->X, Yu, 1, ld, 0.0, SY, ld, 0);
    for (int j = 0; j < ku; j++) /* the strictly lower triangle */
        for (int i = 0; i <= j; i++) SY[i + j * ld] = 0.0;
    product(r, r, ku, Yu, Yu, ld, 1, 0.0, YY, ld, 0);
    product(r, ku, ku, Yu, SY, ld, 1, 0.0, YL, ld, 0);
    product(ku, ku, ku, SY, SY, ld, 1, 0.0, LL, ld, 0);
    int sweeps = self->sweeps;
    while (!swept(self, sweeps, ku, high, Su, YL, LL, YY, self->B)) sweeps--; /* I is definite */
    /* 2. SR1 with the newest pairs. */
    double *H = self->H, *Bs = self->v1, *v = self->v2;
    int first = self->re_applied < 0 || self->re_applied > k ? 0 : k - self->re_applied;
    copy(r, r, self->B, H, ld);
    for (int j = first; j < k; j++) {
        const double *s = S + j * ld, *y = Y + j * ld;
        times(r, r, H, ld, s, Bs);
        for (int i = 0; i < r; i++) v[i] = y[i] - Bs[i];
        double vs = dot(r, v, s), length = sqrt(dot(r, v, v));
        if (length <= SATISFIED * (sqrt(dot(r, y, y)) + sqrt(dot(r, Bs, Bs)))) continue;
        double bound = self->skip * length * sqrt(dot(r, s, s));
        if (!(fabs(vs) >= bound && bound > 0.0)) continue;
        for (int l = 0; l < r; l++) axpy(r, v[l] / vs, v, H + l * ld);
    }
    self->unit = self->gamma;
    /* 3. What becomes of negative eigenvalues; also those of a factored matrix, by rounding. */
    self->reflect = !(newest < -LEAST_COSINE);
    copy(r, r, H, self->T, ld);
    self->definite = factored(r, self->T, ld);
    if (self->definite) {
        copy(r, r, self->T, self->F, ld);
        return 1;
    }
    for (int j = 0; j < r; j++)
        for (int i = 0; i < r; i++)
            if (!isfinite(H[i + j * ld])) return 0;
    if (self->reflect && self->drop) {
        copy(r, r, self->B, H, ld); /* whose factor is in F */
        self->definite = 1;
    }
    return 1;
}

static double column_scale(Model *self, int j, double gamma)
{
    int p = 2 * self->order[j];
    return sqrt(GRAM(p + 1, p + 1)) + fabs(gamma) * sqrt(GRAM(p, p));
}

/* Gram matrix of the columns psi_j = y_j - gamma s_j, divided by their scales, into A. */
static void psi_gram(Model *self, double gamma, const double *scale, double *A)
{
    int ld = self->ld;
    for (int j = 0; j < self->k; j++)
        for (int i = 0; i < self->k; i++) {
            int a = 2 * self->order[i], b = 2 * self->order[j];
                    double yi = 1.0 / scale[i], yj = 1.0 / scale[j], si = gamma / scale[i],
                   sj = gamma / scale[j];
            A[i + j * ld] = yi * GRAM(a + 1, b + 1) * yj - si * GRAM(a, b + 1) * yj -
                            yi * GRAM(a + 1, b) * sj + si * GRAM(a, b) * sj;
        }
}

static int build_sr1(Model *self)
{
    int k = self->k, ld = self->ld;
    double *scale = self->v3;
    self->whole = 0;
    for (int j = 0; j < k; j++) scale[j] = column_scale(self, j, self->gamma);
    psi_gram(self, self->gamma, scale, self->A);
    if (!make_basis(self, k, self->A, scale)) return 0;
    int r = self->r;
    product(r, k, k, self->R, self->half, 1, ld, 0.0, self->S, ld, 0);
    for (int j = 0; j < k; j++)
        for (int i = 0; i < r; i++) self->Y[i + j * ld] = self->S[i + j * ld] * self->weights[j];
    product(r, r, k, self->Y, self->S, ld, 1, 0.0, self->H, ld, 0);
    for (int i = 0; i < r; i++) self->H[i + i * ld] += self->gamma;
    copy(r, r, self->H, self->F, ld);
    self->unit = 1.0;
    self->reflect = 0;
    self->definite = factored(r, self->F, ld);
    return 1;
}

static int build(Model *self)
{
    if (self->built) return 1;
    if (!self->k) {
        self->r = self->whole = 0;
        self->definite = 1;
        self->unit = self->gamma;
    } else if (!(self->hybrid ? build_hybrid(self) : build_sr1(self))) {
        return 0;
    }
    double largest = 1.0;
    if (!self->whole)
        for (int j = 0; j < self->r; j++) {
            const double *c = self->C + j * self->ld;
            double square = dot(2 * self->used, c, c);
            if (square > largest) largest = square;
        }
    self->rounding = 4.0 * EPS * sqrt(largest);
    self->diagonalised = 0;
    self->built = 1;
    return 1;
}

/* --------------------------------------------------------------------------------- the step */

/* v -= U par; return |v|^2. */
static double take_off(Model *self, const double *v, const double *par, double *out)
{
    times(2 * self->used, self->r, self->C, self->ld, par, self->v1);
    for (int i = 0; i < 2 * self->used; i++) self->v1[i] = -self->v1[i];
    if (out != v) {
        combine(self, self->v1, 1.0, v, out, NULL);
    } else {
        for (Py_ssize_t at = 0; at < self->n; at += CHUNK) {
            Py_ssize_t width = self->n - at < CHUNK ? self->n - at : CHUNK;
            apply('N', width, 2 * self->used, 1.0, self->W + at, self->n, self->v1, 1.0, out + at);
        }
    }
    return dot(self->n, out, out);
}

/* Split g into its part in the basis and the rest. */
static int split(Model *self, const double *g, double norm)
{
    if (self->split) return 1;
    int r = self->r, rows = 2 * self->used;
    size_t size = r * sizeof(double);
    self->norm = norm;
    self->norm_perp = 0.0;
    self->carrier_is_perp = 0;
    self->split = 1;
    if (self->whole) {
        memcpy(self->par, g, size);
        return 1;
    }
    for (int j = 0; j < r; j++) self->par[j] = dot(rows, self->C + j * self->ld, self->Wg);
    memcpy(self->carrier_par, self->par, size);
    if (r == self->n || norm == 0.0) return 1;
    double inside = sqrt(dot(r, self->par, self->par)) / norm;
    double outside = (1.0 - inside) * (1.0 + inside);
    if (outside > CANCELLATION * CANCELLATION) {
        self->norm_perp = norm * sqrt(outside);
        return 1;
    }
    double norm_perp = sqrt(take_off(self, g, self->par, self->g_perp));
    if (norm_perp > self->rounding * norm && !(norm_perp > LITTLE_LEFT * norm)) {
        /* What is left may lie along U itself, as far as U is not orthonormal. */
        products(self, self->g_perp, self->v2);
        for (int j = 0; j < r; j++) {
            self->v3[j] = dot(rows, self->C + j * self->ld, self->v2);
            self->par[j] += self->v3[j];
        }
        norm_perp = sqrt(take_off(self, self->g_perp, self->v3, self->g_perp));
        memcpy(self->carrier_par, self->par, size);
    }
    if (!(self->rounding * norm < norm_perp && norm_perp < INFINITY)) return 1;
    self->norm_perp = norm_perp;
    if (!(FAST * norm_perp > EPS * norm)) {
        self->carrier_is_perp = 1;
        memset(self->carrier_par, 0, size);
    }
    return 1;
}

/* The step on the boundary in the coordinates of eigenvectors: p and the results, or 0. */
static int on_boundary(Model *self, double radius, double *p, double *perp, double *decrease,
                       double *length)
{
    int r = self->r, ld = self->ld, count = r;
    double *lam = self->v1, *a = self->v2, *v = self->v3;
    if (!self->diagonalised) {
        copy(r, r, self->H, self->P, ld);
        if (!diagonalise(self, r, self->P, self->lam)) return 0;
        self->diagonalised = 1;
    }
    for (int i = 0; i < r; i++) {
        a[i] = dot(r, self->P + i * ld, self->par);
        lam[i] = self->lam[i];
        if (self->reflect && !(lam[i] > 0.0)) lam[i] = fmax(-lam[i], FLOOR);
        lam[i] *= self->unit;
    }
    if (r < self->n) {
        a[count] = self->norm_perp;
        lam[count++] = self->gamma;
    }
    double lowest = INFINITY, largest = 0.0, steepest = 0.0, square = 0.0, sum = 0.0;
    for (int i = 0; i < count; i++) {
        lowest = fmin(lowest, lam[i]);
        largest = fmax(largest, fabs(lam[i]));
        steepest = fmax(steepest, fabs(a[i]));
    }
    if (lowest > 0.0) {
        for (int i = 0; i < count; i++) {
            v[i] = a[i] != 0.0 ? -a[i] / lam[i] : 0.0;
            square += v[i] * v[i];
            sum += fabs(a[i] * v[i]);
        }
        if (!has_digits(square)) return 0;
        if (sqrt(square) <= radius) {
            *length = sqrt(square);
            *decrease = 0.5 * sum;
            goto turn;
        }
    }
    /* In units in which the radius is 1 and the largest curvature or gradient is 1. */
    double size = fmax(largest * radius, steepest);
    if (!(0.0 < size && size < INFINITY) || steepest == 0.0) return 0;
    lowest = fmax(0.0, -lowest / size * radius);
    double delta = 0.0;
    square = 0.0;
    for (int i = 0; i < count; i++) {
        lam[i] = lam[i] / size * radius + lowest; /* base */
        a[i] /= size;
        if (a[i] == 0.0) continue;
        delta = fmax(delta, fabs(a[i]) - lam[i]);
        square += a[i] / lam[i] * (a[i] / lam[i]);
    }
    if (!(square > 1.0)) return 0; /* the hard case */
    int converged = 0;
    for (int nit = 0; nit < MAX_NEWTON && !converged; nit++) {
        double rate = 0.0;
        square = 0.0;
        for (int i = 0; i < count; i++) {
            if (a[i] == 0.0) continue;
            double shifted = lam[i] + delta, x = a[i] / shifted;
            square += x * x;
            rate += x * (x / shifted);
        }
        double excess = sqrt(square) - 1.0, increase = excess * square / rate;
        converged = excess <= 4.0 * EPS || delta + increase == delta;
        if (!converged) delta += increase;
    }
    if (!converged) return 0;
    square = sum = 0.0;
    for (int i = 0; i < count; i++) {
        v[i] = a[i] == 0.0 ? 0.0 : -a[i] / (lam[i] + delta);
        square += v[i] * v[i];
        sum += (lam[i] + delta) * v[i] * v[i];
        v[i] *= radius;
    }
    *decrease = size * (0.5 * sum + 0.5 * (lowest + delta) * square) * radius;
    *length = radius * sqrt(square);
turn:
    *perp = r < self->n ? v[r] : 0.0;
    times(r, r, self->P, ld, v, p);
    return isfinite(*decrease) && isfinite(*length);
}

/* The step on the boundary of a definite model, by Newton's method on the secular equation with a
 * Cholesky factor of H + shift I an iteration (More and Sorensen 1983): p and the results, or 0. */
static int shifted(Model *self, double radius, double *p, double *perp, double *decrease,
                   double *length)
{
    int r = self->r, ld = self->ld;
    double *L = self->T, *w = self->v1, unit = self->unit, gamma = self->gamma, sum = 0.0;
    double shift = 0.0, before = INFINITY, off = r < self->n ? gamma : 0.0, bound;
    for (int j = 0; j < r; j++) sum += dot(r, self->H + j * ld, self->H + j * ld);
    bound = fmax(unit * sqrt(sum), off); /* of the eigenvalues: the root is beyond |g| / radius - it */
    sum = dot(r, self->par, self->par) + self->norm_perp * self->norm_perp;
    shift = fmax(0.0, sqrt(sum) / radius - bound);
    for (int nit = 0; nit < MAX_NEWTON; nit++) {
        copy(r, r, self->H, L, ld);
        for (int i = 0; i < r; i++) L[i + i * ld] += shift / unit;
        if (!factored(r, L, ld)) return 0;
        memcpy(p, self->par, r * sizeof(double));
        solve_lower(r, L, ld, p);
        solve_transposed(r, L, ld, p);
        for (int i = 0; i < r; i++) w[i] = p[i] /= -unit;
        solve_lower(r, L, ld, w);
        *perp = -self->norm_perp / (gamma + shift);
        double square = dot(r, p, p) + *perp * *perp, size = sqrt(square);
        double rate = dot(r, w, w) / unit + *perp * *perp / (gamma + shift);
        double excess = size / radius - 1.0, increase = excess * square / rate;
        if (excess <= 4.0 * EPS || shift + increase == shift) {
            if (!has_digits(square) || !(fabs(excess) <= SECULAR)) return 0;
            /* -m = (p'(B + shift I)p + shift p'p) / 2, and (B + shift I) p = -g */
            *length = size;
            *decrease = 0.5 * (shift * square - self->norm_perp * *perp - dot(r, self->par, p));
            return isfinite(*decrease);
        }
        if (!(excess < before)) return 0;
        before = excess;
        shift += increase;
    }
    return 0;
}

/* Put the minimiser within the radius into s; 0 where it is not usual. */
static int minimise(Model *self, double radius, const double *g, double norm, double *slope,
                    double *decrease, double *length)
{
    if (self->unusual || !(self->gamma > 0.0) || !has_digits(norm * norm)) return 0;
    if (!build(self) || !split(self, g, norm)) return 0;
    int r = self->r, ld = self->ld, free = 0;
    double *p = self->S, *w = self->v1, perp = 0.0;
    if (self->definite) {
        memcpy(p, self->par, r * sizeof(double));
        double sum = 0.0;
        solve_lower(r, self->F, ld, p);
        memcpy(w, p, r * sizeof(double));
        solve_transposed(r, self->F, ld, p);
        for (int i = 0; i < r; i++) {
            p[i] /= -self->unit;
            sum += w[i] / self->unit * w[i];
        }
        perp = -self->norm_perp / self->gamma;
        double square = dot(r, p, p) + perp * perp;
        if (!has_digits(square)) return 0;
        *length = sqrt(square);
        *decrease = 0.5 * (sum - perp * self->norm_perp);
        free = *length <= radius;
    }
    if (!free && !(self->definite && shifted(self, radius, p, &perp, decrease, length)) &&
        !on_boundary(self, radius, p, &perp, decrease, length))
        return 0;
    *slope = dot(r, self->par, p) + self->norm_perp * perp;
    if (!isfinite(*slope)) return 0;
    if (self->norm_perp == 0.0 && perp != 0.0) return 0;
    if (self->whole) {
        memcpy(self->s, p, self->n * sizeof(double));
        products(self, self->s, self->Ws);
        return 1;
    }
    double beta = self->norm_perp > 0.0 ? perp / self->norm_perp : 0.0;
    for (int i = 0; i < r; i++) p[i] -= beta * self->carrier_par[i];
    times(2 * self->used, r, self->C, ld, p, self->v1);
    const double *carrier = self->carrier_is_perp ? self->g_perp : g;
    combine(self, self->v1, beta, carrier, self->s, self->Ws);
    if (!r && beta == 0.0) return 0;
    return 1;
}

/* --------------------------------------------------------------------------------- the pairs */

static double window_max(Model *self, double newest)
{
    double most = newest; /* NaN where not safely positive */
    int first = self->n_ratios - (WINDOW - 1);
    for (int i = first < 0 ? 0 : first; i < self->n_ratios; i++)
        if (!(most >= self->ratios[i]) && !isnan(self->ratios[i])) most = self->ratios[i];
    return isnan(most) ? self->gamma : most;
}

/* Make the inverse of SR1's inner matrix; 0 where it is singular or, with `judge`, where the newest
 * pair may be refused. */
static int invert_inner(Model *self, double gamma, int judge)
{
    int k = self->k, ld = self->ld, old = k - 1;
    double *scale = self->v3, *columns = self->v2, *M = self->T, *A = self->A, *lam = self->v1;
    for (int j = 0; j < k; j++) {
        int p = 2 * self->order[j];
        columns[j] = column_scale(self, j, gamma);
        scale[j] = sqrt(sqrt(GRAM(p, p)));
    }
    /* M = L + D + L' - gamma S'S, scaled to entries of at most 1. */
    double length0 = scale[0] * scale[0], unit = length0 * columns[0];
    for (int j = 0; j < k; j++) scale[j] = scale[j] / sqrt(length0) * sqrt(columns[j] / columns[0]);
    for (int j = 0; j < k; j++)
        for (int i = 0; i <= j; i++) {
            int a = 2 * self->order[j], b = 2 * self->order[i];
            double value = GRAM(a, b + 1) - gamma * GRAM(a, b);
            M[i + j * ld] = value;
            A[i + j * ld] = A[j + i * ld] = value / scale[i] / scale[j] / unit;
        }
    /* 1. The matrix of the other pairs, and w = M_old^{-1} Psi_old' s. */
    double *w = self->par, *last = M + old * ld, *turned = self->carrier_par;
    if (!judge) goto invert;
    copy(k, k, A, self->X, ld);
    if (!diagonalise(self, old, self->X, lam)) return 0;
    for (int i = 0; i < old; i++) {
        if (!(fabs(lam[i]) >= 1.0 / MAX_CONDITION)) return 0;
        turned[i] = 0.0;
        for (int l = 0; l < old; l++) turned[i] += self->X[l + i * ld] * last[l] / scale[l];
        turned[i] /= lam[i] * unit;
    }
    for (int l = 0; l < old; l++) {
        w[l] = 0.0;
        for (int i = 0; i < old; i++) w[l] += self->X[l + i * ld] * turned[i];
        w[l] /= scale[l];
    }
    /* 2. The residual r = y - B_old s = Psi [-w; 1] and the denominator s'r. */
    double size = 0.0, square = 0.0, denominator = last[old];
    w[old] = -1.0;
    for (int l = 0; l < k; l++) {
        turned[l] = -w[l] * columns[l];
        size += fabs(turned[l]);
    }
    for (int l = 0; l < old; l++) denominator -= w[l] * last[l];
    psi_gram(self, gamma, columns, self->Z);
    for (int j = 0; j < k; j++)
        square += turned[j] / size * (dot(k, self->Z + j * ld, turned) / size);
    if (!(square > k * EPS)) return 0; /* satisfied */
    int p = 2 * self->order[old];
    double bound = self->skip * sqrt(GRAM(p, p)) * size * sqrt(square);
    if (!(fabs(denominator) >= bound)) return 0;
    /* 3. The inverse with the pair in. */
invert:
    if (!diagonalise(self, k, A, lam)) return 0;
    for (int j = 0; j < k; j++)
        if (!(fabs(lam[j]) >= 1.0 / MAX_CONDITION)) return 0;
    for (int j = 0; j < k; j++) {
        self->weights[j] = 1.0 / unit / lam[j];
        for (int i = 0; i < k; i++) self->half[i + j * ld] = A[i + j * ld] / scale[i];
    }
    return 1;
}

/* A pair (s, y) with its products, and what they say of gamma. */
typedef struct {
    double ss, sy, yy, ratio, gamma;
} Pair;

/* Write the two rows and columns of a slot of the Gram matrix; first save them, if asked for. */
static void exchange(Model *self, int slot, const double *rows, double *saved)
{
    int p = 2 * slot, ld = self->ld;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 2 * self->m; i++) {
            if (saved) saved[i + j * ld] = GRAM(i, p + j);
            GRAM(i, p + j) = GRAM(p + j, i) = rows[i + j * ld];
        }
}

/* Take in the pair (s, y); 0 where the matrix might refuse it: then nothing has changed. */
static int store(Model *self, const Pair *pair)
{
    int k = self->k, m = self->m, ld = self->ld, full = k == m, filled = 2 * self->used;
    int slot = full ? self->order[0] : 0, p, *order = self->order;
    double *rows = self->L, *saved = self->B;
    for (int j = 0; !full && j < k; j++)
        if (order[j] == slot) {
            slot++;
            j = -1;
        }
    p = 2 * slot;
    memcpy(rows, self->Ws, filled * sizeof(double));
    memcpy(rows + ld, self->Wy, filled * sizeof(double));
    for (int i = filled; i < ld; i++) rows[i] = rows[i + ld] = 0.0;
    rows[p] = pair->ss;
    rows[p + 1] = rows[p + ld] = pair->sy;
    rows[p + 1 + ld] = pair->yy;
    exchange(self, slot, rows, saved);
    if (full) memmove(order, order + 1, (k - 1) * sizeof(int));
    order[full ? k - 1 : k] = slot;
    self->k = full ? k : k + 1;
    if (!self->hybrid && !invert_inner(self, pair->gamma, 1)) {
        exchange(self, slot, saved, NULL);
        self->k = k;
        if (full) {
            memmove(order + 1, order, (k - 1) * sizeof(int));
            order[0] = slot;
        }
        self->built = self->split = 0;
        return 0;
    }
    if (self->n_ratios == MAX_WINDOW)
        memmove(self->ratios, self->ratios + 1, --self->n_ratios * sizeof(double));
    self->ratios[self->n_ratios++] = pair->ratio;
    self->gamma = pair->gamma;
    if (slot + 1 > self->used) self->used = slot + 1;
    size_t size = self->n * sizeof(double);
    memcpy(self->W + (size_t)p * self->n, self->s, size);
    memcpy(self->W + (size_t)(p + 1) * self->n, self->y, size);
    self->built = self->split = 0;
    return 1;
}

/* Return whether the pair of the last step was stored: 1 or 0, or -1 where it is not usual. */
static int learn(Model *self, const double *g, const double *g_new, double norm, double norm_new,
                 double slope_new, double theta, int offer, int move)
{
    int n = self->n, filled = 2 * self->used, stored = 0;
    double *s = self->s, *y = self->y, *Wg = self->Wg, *Wg_new = self->Wg_new, *Wy = self->Wy;
    for (int i = 0; i < n; i++) y[i] = g_new[i] - g[i];
    Pair pair = {dot(n, s, s), dot(n, s, y), dot(n, y, y), NAN, self->gamma};
    if (self->unusual || !has_digits(pair.ss) || !has_digits(pair.yy)) return -1;
    double yg = dot(n, y, g_new);
    if (sqrt(pair.yy) >= DIRECT * fmax(norm, norm_new)) {
        products(self, g_new, Wg_new);
        for (int i = 0; i < filled; i++) Wy[i] = Wg_new[i] - Wg[i];
    } else {
        products(self, y, Wy);
        for (int i = 0; i < filled; i++) Wg_new[i] = Wg[i] + Wy[i];
    }
    if (offer) {
        double share = theta / pair.ss, yy = pair.yy;
        if (share != 0.0 && isfinite(share)) {
            for (int i = 0; i < n; i++) y[i] += share * s[i];
            for (int i = 0; i < filled; i++) Wy[i] += share * self->Ws[i];
            yg += share * slope_new;
            pair.yy += 2.0 * share * pair.sy + share * share * pair.ss;
            pair.sy += share * pair.ss;
            if (!(pair.yy > CANCELLED * yy)) {
                products(self, y, Wy);
                pair.sy = dot(n, s, y);
                pair.yy = dot(n, y, y);
                yg = dot(n, y, g_new);
            }
            if (!has_digits(pair.yy)) return -1;
        }
        double lengths = sqrt(pair.ss) * sqrt(pair.yy);
        if (pair.sy > MIN_COSINE * lengths) pair.ratio = pair.yy / pair.sy;
        if (self->rule == LENGTH_RATIO) {
            pair.gamma = sqrt(pair.yy) / sqrt(pair.ss);
        } else if (self->rule == WINDOW_MAX) {
            pair.gamma = window_max(self, pair.ratio);
        } else {
            double newest = isnan(pair.ratio) ? self->gamma : pair.ratio;
            int first = self->k == 0 || self->m == 1;
            pair.gamma = first ? newest : sqrt(newest) * sqrt(self->gamma);
        }
        if (!(pair.gamma > 0.0 && pair.gamma < INFINITY)) return -1;
        if (!store(self, &pair)) return -1;
        stored = 1;
    }
    if (move) {
        memcpy(Wg, Wg_new, filled * sizeof(double));
        self->split = 0;
    }
    if (stored) {
        int p = 2 * self->order[self->k - 1];
        for (int i = filled; i < 2 * self->used; i++) Wg[i] = 0.0;
        Wg[p] = move ? slope_new : dot(n, s, g);
        Wg[p + 1] = move ? yg : dot(n, y, g);
    }
    return stored;
}

/* ------------------------------------------------------------------------------ Python's side */

/* Return the float64 entries of an array of that length; the buffer stays the caller's. */
static double *entries(PyObject *array, Py_buffer *view, Py_ssize_t length, int writable)
{
    if (PyObject_GetBuffer(array, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE)) return NULL;
    if (view->len != length * (Py_ssize_t)sizeof(double)) {
        PyErr_Format(PyExc_ValueError, "an array of %zd numbers is wanted, got %zd bytes", length,
                     view->len);
        PyBuffer_Release(view);
        return NULL;
    }
    return view->buf;
}

static int model_init(Model *self, PyObject *args, PyObject *kwds)
{
    PyObject *block, *gram, *Wg;
    if (self->W) {
        PyErr_SetString(PyExc_RuntimeError, "a model is made once");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "OOOiiiiiiid", &block, &gram, &Wg, &self->n, &self->m,
                          &self->hybrid, &self->re_applied, &self->drop, &self->sweeps,
                          &self->rule, &self->skip))
        return -1;
    Py_ssize_t n = self->n, rows = 2 * self->m, ld = self->ld = (2 * self->m + 3) / 4 * 4;
    if (!(self->W = entries(block, &self->buffers[0], rows * n, 1)) ||
        !(self->G = entries(gram, &self->buffers[1], rows * rows, 1)) ||
        !(self->Wg = entries(Wg, &self->buffers[2], rows, 1)))
        return -1;
    /* Where 2 k >= n the basis are unit vectors: r <= 2 m in any case. */
    Py_ssize_t big = ld * ld, squares = 14, vectors = 10;
    self->lwork = (int)(1 + 6 * ld + 2 * big);
    self->liwork = (int)(3 + 5 * ld);
    Py_ssize_t total = squares * big + vectors * (ld + 1) + 3 * n + self->lwork;
    self->memory = calloc(total, sizeof(double));
    self->iwork = malloc(self->liwork * sizeof(int));
    self->order = malloc((self->m + 1) * sizeof(int));
    if (!self->memory || !self->iwork || !self->order) {
        PyErr_NoMemory();
        return -1;
    }
    double *at = self->memory;
    double **matrices[] = {&self->C, &self->R, &self->H, &self->F, &self->P, &self->half, &self->S,
                           &self->Y, &self->A, &self->B, &self->T, &self->X, &self->L,
                           &self->Z};
    for (int i = 0; i < 14; i++, at += big) *matrices[i] = at;
    double **short_ones[] = {&self->lam, &self->par, &self->carrier_par, &self->Ws,
                             &self->Wy,  &self->Wg_new, &self->weights, &self->v1,
                             &self->v2,  &self->v3};
    for (int i = 0; i < 10; i++, at += ld + 1) *short_ones[i] = at;
    double **long_ones[] = {&self->s, &self->y, &self->g_perp};
    for (int i = 0; i < 3; i++, at += n) *long_ones[i] = at;
    self->lapack = at;
    return 0;
}

static void model_dealloc(Model *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int i = 0; i < 3; i++)
        if (self->buffers[i].obj) PyBuffer_Release(&self->buffers[i]);
    free(self->memory);
    free(self->iwork);
    free(self->order);
    free(self->columns);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* set(order, used, gamma, ratios): go to a state; W, W W' and W g are in the arrays. */
static PyObject *model_set(Model *self, PyObject *args)
{
    PyObject *order, *ratios;
    int used;
    double gamma;
    if (!PyArg_ParseTuple(args, "O!idO!", &PyList_Type, &order, &used, &gamma, &PyList_Type,
                          &ratios))
        return NULL;
    Py_ssize_t k = PyList_Size(order), count = PyList_Size(ratios);
    if (k > self->m || used > self->m || count > MAX_WINDOW) {
        PyErr_SetString(PyExc_ValueError, "more pairs than there is room for");
        return NULL;
    }
    for (Py_ssize_t j = 0; j < k; j++) {
        long slot = PyLong_AsLong(PyList_GetItem(order, j));
        if (slot < 0 || slot >= used) {
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "no such slot");
            return NULL;
        }
        self->order[j] = (int)slot;
    }
    for (Py_ssize_t j = 0; j < count; j++)
        self->ratios[j] = PyFloat_AsDouble(PyList_GetItem(ratios, j));
    if (PyErr_Occurred()) return NULL;
    self->k = (int)k;
    self->used = used;
    self->gamma = gamma;
    self->n_ratios = (int)count;
    self->built = self->split = 0;
    self->unusual = !self->hybrid && k && !invert_inner(self, gamma, 0);
    Py_RETURN_NONE;
}

/* get() -> order, used, gamma, ratios */
static PyObject *model_get(Model *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *order = PyList_New(self->k), *ratios = PyList_New(self->n_ratios);
    if (!order || !ratios) goto failed;
    for (int j = 0; j < self->k; j++)
        if (PyList_SetItem(order, j, PyLong_FromLong(self->order[j]))) goto failed;
    for (int j = 0; j < self->n_ratios; j++)
        if (PyList_SetItem(ratios, j, PyFloat_FromDouble(self->ratios[j]))) goto failed;
    return Py_BuildValue("NidN", order, self->used, self->gamma, ratios);
failed:
    Py_XDECREF(order);
    Py_XDECREF(ratios);
    return NULL;
}

/* minimise(radius, g, norm of g, step) -> slope, decrease, length; None where it is not usual */
static PyObject *model_minimise(Model *self, PyObject *args)
{
    PyObject *g, *step;
    Py_buffer views[2];
    double radius, norm, slope, decrease, length;
    if (!PyArg_ParseTuple(args, "dOdO", &radius, &g, &norm, &step)) return NULL;
    double *gradient = entries(g, &views[0], self->n, 0);
    if (!gradient) return NULL;
    double *s = entries(step, &views[1], self->n, 1);
    int found = s && minimise(self, radius, gradient, norm, &slope, &decrease, &length);
    if (found) memcpy(s, self->s, self->n * sizeof(double));
    PyBuffer_Release(&views[0]);
    if (!s) return NULL;
    PyBuffer_Release(&views[1]);
    if (!found) Py_RETURN_NONE;
    return Py_BuildValue("ddd", slope, decrease, length);
}

/* follow(step): take a step that another has made */
static PyObject *model_follow(Model *self, PyObject *step)
{
    Py_buffer view;
    double *s = entries(step, &view, self->n, 0);
    if (!s) return NULL;
    memcpy(self->s, s, self->n * sizeof(double));
    PyBuffer_Release(&view);
    products(self, self->s, self->Ws);
    Py_RETURN_NONE;
}

/* measure(x, g) at the end of the step -> x'x, g'g, g's, max |g_i| */
static PyObject *model_measure(Model *self, PyObject *args)
{
    PyObject *x, *g;
    Py_buffer views[2];
    if (!PyArg_ParseTuple(args, "OO", &x, &g)) return NULL;
    double *point = entries(x, &views[0], self->n, 0);
    if (!point) return NULL;
    double *gradient = entries(g, &views[1], self->n, 0);
    if (!gradient) {
        PyBuffer_Release(&views[0]);
        return NULL;
    }
    int n = self->n;
    double largest = 0.0, xx = dot(n, point, point), gg = dot(n, gradient, gradient);
    double gs = dot(n, gradient, self->s);
    for (int i = 0; i < n; i++) largest = fabs(gradient[i]) > largest ? fabs(gradient[i]) : largest;
    if (isnan(gg)) largest = NAN;
    PyBuffer_Release(&views[0]);
    PyBuffer_Release(&views[1]);
    return Py_BuildValue("dddd", xx, gg, gs, largest);
}

/* learn(g, g_new, their norms, slope, theta, offer, move) -> whether stored; None: not usual */
static PyObject *model_learn(Model *self, PyObject *args)
{
    PyObject *before, *after;
    Py_buffer views[2];
    double norm, norm_new, slope, theta;
    int offer, move;
    if (!PyArg_ParseTuple(args, "OOddddpp", &before, &after, &norm, &norm_new, &slope, &theta,
                          &offer, &move))
        return NULL;
    double *g = entries(before, &views[0], self->n, 0);
    if (!g) return NULL;
    double *g_new = entries(after, &views[1], self->n, 0);
    if (!g_new) {
        PyBuffer_Release(&views[0]);
        return NULL;
    }
    int stored = learn(self, g, g_new, norm, norm_new, slope, theta, offer, move);
    PyBuffer_Release(&views[0]);
    PyBuffer_Release(&views[1]);
    if (stored < 0) Py_RETURN_NONE;
    return PyBool_FromLong(stored);
}

/* n_pairs() -> number of pairs */
static PyObject *model_n_pairs(Model *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->k);
}

static PyMethodDef methods[] = {
    {"set", (PyCFunction)model_set, METH_VARARGS, NULL},
    {"get", (PyCFunction)model_get, METH_NOARGS, NULL},
    {"minimise", (PyCFunction)model_minimise, METH_VARARGS, NULL},
    {"follow", (PyCFunction)model_follow, METH_O, NULL},
    {"measure", (PyCFunction)model_measure, METH_VARARGS, NULL},
    {"learn", (PyCFunction)model_learn, METH_VARARGS, NULL},
    {"n_pairs", (PyCFunction)model_n_pairs, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, model_init},
    {Py_tp_dealloc, model_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

#define QUOTED_(name) #name
#define QUOTED(name) QUOTED_(name)
#define JOINED_(a, b) a##b
#define JOINED(a, b) JOINED_(a, b)
#define NAME QUOTED(MODULE)

static PyType_Spec spec = {
    .name = "qnsolve.compiled." NAME ".Model",
    .basicsize = sizeof(Model),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

/* Take a function of SciPy's, if it has `arguments` arguments and those of type int are C's. */
static int take(PyObject *capi, const char *name, int arguments, void *to)
{
    PyObject *capsule = PyDict_GetItemString(capi, name);
    const char *signature = capsule ? PyCapsule_GetName(capsule) : NULL;
    int commas = 0;
    for (const char *c = signature; c && *c; c++) commas += *c == ',';
    if (!signature || strncmp(signature, "void (char *, ", 14) || commas != arguments - 1 ||
        strstr(signature, "long")) {
        PyErr_Format(PyExc_ImportError, "SciPy's %s is not as expected", name);
        return -1;
    }
    *(void **)to = PyCapsule_GetPointer(capsule, signature);
    return *(void **)to ? 0 : -1;
}

static PyObject *capi_of(const char *name)
{
    PyObject *module = PyImport_ImportModule(name);
    PyObject *capi = module ? PyObject_GetAttrString(module, "__pyx_capi__") : NULL;
    Py_XDECREF(module); /* stays in sys.modules */
    return capi;
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, NAME, "One iteration of a limited-memory model.", -1,
    NULL, NULL, NULL, NULL, NULL,
};

/* Whether the processor has what the other build of this file needs. */
static int has_v3(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#else
    return 0;
#endif
}

PyMODINIT_FUNC JOINED(PyInit_, MODULE)(void)
{
    PyObject *blas = capi_of("scipy.linalg.cython_blas");
    PyObject *lapack = blas ? capi_of("scipy.linalg.cython_lapack") : NULL;
    int failed = !lapack || take(blas, "dgemm", 13, &dgemm) || take(blas, "dgemv", 11, &dgemv) ||
                 take(lapack, "dsyevd", 11, &dsyevd);
    Py_XDECREF(blas);
    Py_XDECREF(lapack);
    if (failed) return NULL;
    PyObject *module = PyModule_Create(&definition), *type = PyType_FromSpec(&spec);
    if (!module || !type || PyModule_AddObjectRef(module, "Model", type) ||
        PyModule_AddIntConstant(module, "HAS_V3", has_v3())) {
        Py_XDECREF(module);
        Py_XDECREF(type);
        return NULL;
    }
    Py_DECREF(type);
    return module;
}
