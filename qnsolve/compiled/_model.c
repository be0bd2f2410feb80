/* One iteration of the model of hybrid-tr and lsr1-tr: NumPy float64, the l2 norm, one process.
 *
 * It does what quasi_newton/{pairs,scaling,hybrid,lsr1,spectrum,on_basis,tracking}.py and
 * subproblem/{trust_region_l2,secular}.py do on their usual way, which define it and name its
 * constants.  Where a case is not usual it changes nothing and returns None: the caller then lets
 * that code do it.  For long vectors BLAS is SciPy's, through scipy.linalg.cython_blas: nothing is
 * linked.  What is done with small matrices is in _small.h.
 */
#ifndef MODULE
#define MODULE _model
#endif
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdlib.h>
#include "_small.h"

/* quasi_newton/hybrid.py */
#define LEAST_PIVOT 1e-10
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

#define SMALLEST_SQUARE (DBL_MIN / DBL_EPSILON)
#define LARGEST_SQUARE (DBL_MAX * DBL_EPSILON)
#define CHUNK 1024 /* entries of a vector handled at a time: as many rows stay in the cache */

/* ------------------------------------------------------------------- what is SciPy's: long vectors */

static void (*dgemm)(char *, char *, int *, int *, int *, double *, double *, int *, double *,
                     int *, double *, double *, int *);
static void (*dgemv)(char *, int *, int *, double *, double *, int *, double *, int *, double *,
                     double *, int *);

/* y = alpha op(A) x + beta y, A of shape (rows, columns). */
static void apply(char op, Py_ssize_t rows, int columns, double alpha, const double *A, int ld,
                  const double *x, double beta, double *y)
{
    int m = (int)rows, one = 1;
    dgemv(&op, &m, &columns, &alpha, (double *)A, &ld, (double *)x, &one, &beta, y, &one);
}

static int has_digits(double square)
{
    return SMALLEST_SQUARE <= square && square <= LARGEST_SQUARE;
}

/* ---------------------------------------------------------------------------------- the model */

enum { LENGTH_RATIO, SMOOTHED, WINDOW_MAX };
enum { NONE, TRIDIAGONAL, DIAGONAL };

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
    int unusual, built, whole, triangular, r, definite, reflect, form;
    double unit, rounding, *C, *R, *H, *F;
    /* Of H: T = Q'HQ and Householder's vectors, or eigenvalues and eigenvectors. */
    double *P, *lam, *off, *tau;
    /* The gradient in it. */
    int split;
    double norm, norm_perp, *par, *carrier_par, *g_perp;
    int carrier_is_perp;
    /* The last step, and what a pair on it would add. */
    double *s, *y, *Ws, *Wy, *Wg_new;
    /* The inner matrix of SR1: M^{-1} is `inner`, row and column j divided by scale[j], over size. */
    double *inner, *inner_scale, inner_size;
    /* Work space. */
    double *memory, *S, *Y, *A, *B, *T, *X, *L, *Z, *v1, *v2, *v3, *columns;
    int *pivots, *sorted, *row_of;
} Model;

/* Entry of W W', in an array of the caller's. */
#define GRAM(i, j) self->G[(i) + (j) * 2 * self->m]

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

/* Make the last `weak` vectors of the basis orthonormal to all; C, R and r change. */
static int second_pass(Model *self, int weak, int q)
{
    int ld = self->ld, r = self->r, rows = 2 * self->used, n = self->n, width = CHUNK;
    int strong = r - weak;
    double one = 1.0, zero = 0.0, *T = self->T, *X = self->X, *Z = self->Z, *A = self->A;
    double *V = self->B, *C = self->C + strong * ld, *R = self->R;
    if (!self->columns) {
        self->columns = malloc(sizeof(double) * CHUNK * ld);
        if (!self->columns) return 0;
    }
    for (int at = 0; at < n; at += CHUNK) {
        int part = n - at < CHUNK ? n - at : CHUNK;
        double *beta = at ? &one : &zero;
        dgemm("N", "N", &part, &weak, &rows, &one, self->W + at, &n, C, &ld, &zero, self->columns,
              &width);
        dgemm("T", "N", &rows, &weak, &part, &one, self->W + at, &n, self->columns, &width, beta,
              T, &ld);
        dgemm("T", "N", &weak, &weak, &part, &one, self->columns, &width, self->columns, &width,
              beta, A, &ld);
    }
    /* Their Gram matrix with the others is [I Z; Z' A]: its factor [I 0; Z' F], F F' = A - Z'Z. */
    transpose(rows, strong, self->C, V, ld);
    multiply(SET, strong, weak, rows, V, T, NULL, Z, ld);
    transpose(strong, weak, Z, V, ld);
    copy(weak, weak, A, T, ld);
    multiply(TAKE, weak, weak, strong, V, Z, T, T, ld);
    if (factored(weak, T, ld)) {
        double trace = strong + inverted(weak, T, X, ld);
        multiply(SET, strong, weak, weak, Z, X, NULL, self->L, ld);
        for (int j = 0; j < weak; j++) trace += dot(strong, self->L + j * ld, self->L + j * ld);
        if (trace <= 1.0 / SECOND_PASS_RANK) {
            double *of_weak = self->L;
            multiply(TAKE, rows, weak, strong, self->C, Z, C, C, ld);
            copy(rows, weak, C, V, ld);
            multiply(SET, rows, weak, weak, V, X, NULL, C, ld);
            for (int j = 0; j < q; j++) memcpy(of_weak + j * ld, R + strong + j * ld, weak * sizeof(double));
            multiply(ADD, strong, q, weak, Z, of_weak, R, V, ld);
            for (int j = 1; j < weak; j++)
                for (int i = 0; i < j; i++) T[i + j * ld] = 0.0;
            transpose(weak, weak, T, X, ld);
            multiply(SET, weak, q, weak, X, of_weak, NULL, A, ld);
            for (int j = 0; j < q; j++) {
                memcpy(R + j * ld, V + j * ld, strong * sizeof(double));
                memcpy(R + strong + j * ld, A + j * ld, weak * sizeof(double));
            }
            return 1;
        }
    }
    /* Exactly 1 in exact arithmetic; far less where the first pass kept rounding error. */
    double *lam = self->v1;
    copy(weak, weak, A, X, ld);
    identity(r, A, ld);
    for (int j = 0; j < weak; j++) {
        memcpy(A + (strong + j) * ld, Z + j * ld, strong * sizeof(double));
        memcpy(A + strong + (strong + j) * ld, X + j * ld, weak * sizeof(double));
        for (int i = 0; i < strong; i++) A[strong + j + i * ld] = Z[i + j * ld];
    }
    if (!eigenvectors(r, A, lam, T, ld, self->off, self->tau)) return 0;
    self->r = 0;
    for (int j = 0; j < r; j++) {
        if (!(lam[j] > SECOND_PASS_RANK)) continue;
        memcpy(A + self->r * ld, T + j * ld, r * sizeof(double));
        lam[self->r++] = sqrt(lam[j]);
    }
    transpose(r, self->r, A, X, ld);
    copy(r, q, R, V, ld);
    copy(rows, r, self->C, Z, ld);
    multiply(SET, self->r, q, r, X, V, NULL, R, ld);
    multiply(SET, rows, self->r, r, Z, A, NULL, self->C, ld);
    for (int j = 0; j < self->r; j++) {
        for (int i = 0; i < rows; i++) self->C[i + j * ld] /= lam[j];
        for (int i = 0; i < q; i++) R[j + i * ld] *= lam[j];
    }
    return 1;
}

/* Orthonormal U = W' C and R with columns U R scale; A is the lower triangle of the Gram matrix of
 * the q columns over their scales. */
static int make_basis(Model *self, int q, double *A, const double *scale)
{
    int ld = self->ld, n = self->n, r = q, weak = 0, filled = 0, *pivots = self->pivots;
    int *sorted = self->sorted; /* vectors of the basis, the longest last if some are too long */
    double *F = self->T, *X = self->X, *Z = self->Z, *lengths = self->v1, *by = self->v2;
    double noise = RANK_NOISE * q * EPS, trace = INFINITY;
    copy(q, q, A, F, ld);
    if (q <= n && factored(q, F, ld)) trace = inverted(q, F, X, ld);
    self->triangular = trace <= FAST / EPS;
    if (trace <= 1.0 / noise) { /* no direction is below the rounding error */
        for (int j = 0; j < q; j++) {
            pivots[j] = j;
            for (int i = 0; i < j; i++) F[i + j * ld] = 0.0;
        }
    } else if (q > n) { /* the n largest eigenvalues, with X = Z / sqrt(t) and F = Z sqrt(t) */
        mirror(q, A, ld);
        if (!eigenvectors(q, A, by, Z, ld, self->off, self->tau)) return 0;
        for (r = 0; r < n; r++) {
            int most = 0;
            for (int j = 1; j < q; j++)
                if (by[j] > by[most]) most = j;
            if (!(by[most] > noise)) break;
            double root = sqrt(by[most]);
            for (int i = 0; i < q; i++) {
                X[i + r * ld] = Z[i + most * ld] / root;
                F[i + r * ld] = Z[i + most * ld] * root;
            }
            by[most] = -INFINITY;
        }
        if (!r) return 0;
        for (int j = 0; j < q; j++) pivots[j] = j;
        filled = q;
    } else {
        mirror(q, A, ld);
        r = pivoted(q, A, noise, F, ld, pivots, by, lengths);
        if (!r) return 0;
        for (int j = 0; j < r; j++)
            for (int i = j; i < r; i++) Z[i + j * ld] = F[pivots[i] + j * ld];
        inverted(r, Z, X, ld);
    }
    for (int j = 0; j < r; j++) {
        int at = j;
        lengths[j] = dot(filled ? filled : j + 1, X + j * ld, X + j * ld);
        weak += EPS * lengths[j] > FAST;
        for (; !self->triangular && at > 0 && lengths[sorted[at - 1]] > lengths[j]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = j;
    }
    for (int i = 0; i < (filled ? filled : r); i++) by[i] = 1.0 / scale[pivots[i]];
    for (int j = 0; j < r; j++) {
        const double *x = X + sorted[j] * ld, *f = F + sorted[j] * ld;
        double *c = self->C + j * ld;
        memset(c, 0, 2 * self->used * sizeof(double));
        for (int i = 0; i < (filled ? filled : sorted[j] + 1); i++) { /* X is upper triangular */
            int row = self->row_of[pivots[i]];
            c[row] = x[i] * by[i];
            if (!self->hybrid) c[row - 1] = -self->gamma * c[row];
        }
        for (int i = 0; i < q; i++) self->R[j + i * ld] = f[i];
    }
    self->r = r;
    return !weak || second_pass(self, weak, q);
}

/* ------------------------------------------------------------------------- the matrix H on it */

/* BFGS sweeps over the k usable pairs into B, r x r, from I, and its factor into F; S is zero from row
 * `high` on.  Return whether B is definite.
 *
 * A sweep takes B to B + YY - X T^{-1} X', X = B S + YL, T = S'B S + LL. */
static int swept(Model *self, int count, int k, int high, const double *S, const double *YL,
                 const double *LL, const double *YY, double *B)
{
    int ld = self->ld, r = self->r;
    double *X = self->X, *T = self->T, *St = self->R, *diagonal = self->v1;
    transpose(high, k, S, St, ld);
    identity(r, B, ld);
    for (int sweep = 0; sweep < count && k; sweep++) {
        multiply(SET, r, k, high, B, S, NULL, X, ld);
        product(ADD, 1, k, k, high, St, X, 1, ld, LL, T, ld);
        for (int j = 0; j < k; j++) diagonal[j] = T[j + j * ld];
        if (!factored(k, T, ld)) break;
        int lost = 0;
        for (int j = 0; j < k; j++)
            lost |= !(T[j + j * ld] * T[j + j * ld] > LEAST_PIVOT * diagonal[j]);
        if (lost && sweep) break;
        axpy(k * ld, 1.0, YL, X);
        solve_right(r, k, T, X, ld, 0);
        axpy(r * ld, 1.0, YY, B);
        multiply_symmetric(TAKE, r, k, X, X, B, B, ld);
    }
    copy(r, r, B, self->F, ld);
    return factored(r, self->F, ld);
}

/* SR1 updates of H, r x r, with the pairs from `first` on, each on top of those before it. */
static void corrected(Model *self, int first, const double *S, const double *Y, double *H)
{
    int ld = self->ld, r = self->r, taken = 0, count = self->k - first;
    double *HS = self->X, *V = self->R, *scaled = self->T;
    multiply(SET, r, count, r, H, S + first * ld, NULL, HS, ld);
    for (int j = 0; j < count; j++) {
        const double *s = S + (first + j) * ld, *y = Y + (first + j) * ld;
        double *Hs = HS + j * ld, *v = V + taken * ld;
        for (int l = 0; l < taken; l++) axpy(r, dot(r, scaled + l * ld, s), V + l * ld, Hs);
        for (int i = 0; i < r; i++) v[i] = y[i] - Hs[i];
        double vs = dot(r, v, s), length = sqrt(dot(r, v, v));
        if (length <= SATISFIED * (sqrt(dot(r, y, y)) + sqrt(dot(r, Hs, Hs)))) continue;
        double bound = self->skip * length * sqrt(dot(r, s, s));
        if (!(fabs(vs) >= bound && bound > 0.0)) continue;
        for (int i = 0; i < r; i++) scaled[i + taken * ld] = v[i] / vs;
        taken++;
    }
    multiply_symmetric(ADD, r, taken, V, scaled, H, H, ld);
}

static int build_hybrid(Model *self)
{
    int k = self->k, ld = self->ld, n = self->n, *row_of = self->row_of;
    double *S = self->S, *Y = self->Y, *scale = self->v3, *inverse = self->v2;
    double *curvature = self->v1;
    self->whole = 2 * k >= n;
    for (int j = 0; j < k; j++) row_of[k + j] = (row_of[j] = 2 * self->order[j]) + 1;
    for (int j = 0; j < 2 * k; j++) {
        double square = GRAM(row_of[j], row_of[j]);
        if (!(square > 0.0)) return 0; /* f is linear along s: curvature may be rounding */
        scale[j] = sqrt(square);
        inverse[j] = 1.0 / scale[j];
    }
    if (self->whole) {
        self->r = n;
        for (int j = 0; j < k; j++) {
            const double *row = self->W + (Py_ssize_t)row_of[j] * n;
            for (int i = 0; i < n; i++) {
                S[i + j * ld] = row[i] / scale[j];
                Y[i + j * ld] = row[n + i] / scale[j] / self->gamma;
            }
        }
    } else {
        for (int j = 0; j < 2 * k; j++) {
            const double *row = self->G + row_of[j] * 2 * self->m;
            for (int i = j; i < 2 * k; i++)
                self->A[i + j * ld] = row[row_of[i]] * inverse[i] * inverse[j];
        }
        if (!make_basis(self, 2 * k, self->A, scale)) return 0;
        for (int j = 0; j < k; j++) {
            double length = scale[k + j] / scale[j] / self->gamma;
            memcpy(S + j * ld, self->R + j * ld, self->r * sizeof(double));
            for (int i = 0; i < self->r; i++) Y[i + j * ld] = length * self->R[i + (k + j) * ld];
        }
    }
    /* 1. BFGS, several sweeps over all pairs of positive curvature. */
    int r = self->r, high = self->triangular && !self->whole ? k : r, usable = 0;
    double *Su = self->L, *YL = self->Z, *LL = self->A, *YY = self->P, *SY = self->R, *Yu = self->T;
    double cosine = 0.0;
    transpose(high, k, S, self->X, ld);
    multiply(SET, k, k, high, self->X, Y, NULL, SY, ld);
    for (int j = 0; j < k; j++) {
        double yy = dot(r, Y + j * ld, Y + j * ld), sy = SY[j + j * ld];
        cosine = sy / sqrt(yy);
        if (!(cosine > LEAST_COSINE)) continue; /* s is a unit vector */
        double root = curvature[usable] = 1.0 / sqrt(sy);
        row_of[usable] = j;
        for (int i = 0; i < r; i++) {
            Su[i + usable * ld] = S[i + j * ld] * root;
            Yu[i + usable * ld] = Y[i + j * ld] * root;
        }
        usable++;
    }
    for (int j = 0; j < usable; j++) { /* L, the strictly lower triangle */
        memset(self->B + j * ld, 0, usable * sizeof(double));
        for (int i = j + 1; i < usable; i++)
            self->B[i + j * ld] = SY[row_of[i] + row_of[j] * ld] * curvature[i] * curvature[j];
    }
    multiply_symmetric(SET, r, usable, Yu, Yu, NULL, YY, ld);
    multiply_transposed(SET, r, usable, usable, Yu, self->B, NULL, YL, ld);
    multiply_symmetric(SET, usable, usable, self->B, self->B, NULL, LL, ld);
    int sweeps = self->sweeps;
    while (!swept(self, sweeps, usable, high, Su, YL, LL, YY, self->B)) sweeps--; /* I is definite */
    /* 2. SR1 with the newest pairs. */
    double *H = self->H;
    copy(r, r, self->B, H, ld);
    corrected(self, self->re_applied < 0 || self->re_applied > k ? 0 : k - self->re_applied, S, Y, H);
    self->unit = self->gamma;
    /* 3. What becomes of negative eigenvalues; also those of a factored matrix, by rounding. */
    self->reflect = !(cosine < -LEAST_COSINE);
    copy(r, r, H, self->T, ld);
    self->definite = factored(r, self->T, ld);
    if (self->definite) {
        copy(r, r, self->T, self->F, ld);
        return 1;
    }
    if (!all_finite(r, H, ld)) return 0;
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
    for (int j = 0; j < k; j++) {
        scale[j] = column_scale(self, j, self->gamma);
        self->row_of[j] = 2 * self->order[j] + 1;
    }
    psi_gram(self, self->gamma, scale, self->A);
    if (!make_basis(self, k, self->A, scale)) return 0;
    int r = self->r;
    for (int j = 0; j < k; j++)
        for (int i = 0; i < r; i++)
            self->S[i + j * ld] = self->R[i + j * ld] * (scale[j] / self->inner_scale[j]);
    multiply(SET, r, k, k, self->S, self->inner, NULL, self->Y, ld);
    for (int j = 0; j < k; j++)
        for (int i = 0; i < r; i++) self->Y[i + j * ld] /= self->inner_size;
    multiply_symmetric(SET, r, k, self->Y, self->S, NULL, self->H, ld);
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
    self->form = NONE;
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
    if (self->form != DIAGONAL) {
        copy(r, r, self->H, self->T, ld);
        self->form = NONE;
        if (!eigenvectors(r, self->T, self->lam, self->P, ld, self->off, self->tau)) return 0;
        self->form = DIAGONAL;
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

/* The step on the boundary by Newton's method on the secular equation, with a factor of T + shift I
 * an iteration, T = Q'HQ tridiagonal (More and Sorensen 1983): p and the results, or 0. */
static int shifted(Model *self, double radius, double *p, double *perp, double *decrease,
                   double *length)
{
    int r = self->r, ld = self->ld, off = r < self->n;
    double *a = self->v1, *D = self->v2, *below = self->v3, *d = self->lam, *e = self->off;
    double unit = self->unit, gamma = self->gamma / unit, across = self->norm_perp / unit;
    if (self->form == DIAGONAL) return 0;
    if (self->form != TRIDIAGONAL) {
        copy(r, r, self->H, self->P, ld);
        tridiagonal(r, self->P, ld, d, e, self->tau, a);
        self->form = TRIDIAGONAL;
    }
    for (int j = 0; j < r; j++) a[j] = self->par[j] / unit;
    turn_to(r, self->P, ld, self->tau, a);
    /* In units of `unit`.  Circles of Gerschgorin bound the eigenvalues, and these the shift. */
    double least = off ? gamma : INFINITY, most = off ? gamma : 0.0, steep = 0.0;
    double low = off && gamma < 0.0 ? -gamma : 0.0, high;
    for (int j = 0; j < r; j++) {
        double beside = (j ? fabs(e[j - 1]) : 0.0) + (j + 1 < r ? fabs(e[j]) : 0.0);
        least = fmin(least, d[j] - beside);
        most = fmax(most, d[j] + beside);
        low = fmax(low, -d[j]);
    }
    steep = sqrt(dot(r, a, a) + across * across) / radius;
    low = fmax(low, steep - most);
    high = fmax(low, steep - least);
    double shift = self->definite ? low : high, before = INFINITY;
    for (int nit = 0; nit < MAX_NEWTON; nit++) {
        int positive = tridiagonal_factored(r, d, e, shift, D, below);
        if (positive < r) { /* a vector of negative curvature says how much is missing */
            double u = 1.0, square = 1.0;
            for (int j = positive - 1; j >= 0; j--) {
                u *= -below[j];
                square += u * u;
            }
            low = fmax(low, shift - D[positive] / square);
            shift = low + 0.1 * (high - low);
            if (!(low < high) || self->definite) return 0;
            continue;
        }
        /* L D L'p = -a, and p'(T + shift I)^{-1} p is the rate at which |p|^2 / 2 falls. */
        double square = 0.0, rate = 0.0, along = 0.0, w = 0.0;
        for (int j = 0; j < r; j++) {
            w = -a[j] - (j ? below[j - 1] * w : 0.0);
            p[j] = w / D[j];
            along += w * p[j]; /* -a'p */
        }
        for (int j = r - 1; j >= 0; j--) {
            if (j + 1 < r) p[j] -= below[j] * p[j + 1];
            square += p[j] * p[j];
        }
        w = 0.0;
        for (int j = 0; j < r; j++) {
            w = p[j] - (j ? below[j - 1] * w : 0.0);
            rate += w * w / D[j];
        }
        *perp = 0.0;
        if (off && across != 0.0) {
            *perp = -across / (gamma + shift);
            square += *perp * *perp;
            rate += *perp * *perp / (gamma + shift);
            along -= *perp * across;
        }
        double excess = sqrt(square) / radius - 1.0, increase = excess * square / rate;
        if (!isfinite(increase)) return 0;
        int settled = fabs(excess) <= SECULAR && !(fabs(excess) < 0.5 * before);
        before = fabs(excess);
        if (settled || before <= 4.0 * EPS || shift + increase == shift) {
            if (!has_digits(square) || !(before <= SECULAR)) return 0;
            /* -m = (p'(B + shift I)p + shift p'p) / 2, and (B + shift I) p = -g */
            *length = sqrt(square);
            *decrease = 0.5 * unit * (shift * square + along);
            turn_back(r, self->P, ld, self->tau, p);
            return isfinite(*decrease);
        }
        if (excess > 0.0) low = fmax(low, shift);
        else high = fmin(high, shift);
        shift += increase;
        if (!(shift > low)) shift = low + 0.1 * (high - low);
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
    if (!free && !((self->definite || !self->reflect) &&
                   shifted(self, radius, p, &perp, decrease, length)) &&
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

/* Tell whether the condition number of a matrix with entries up to 1 is moderate, by its inverse;
 * more than rounding apart from where that is judged by its eigenvalues. */
static int is_moderate(int n, const double *K, int ld)
{
    double square = 0.0;
    for (int j = 0; j < n; j++) square += dot(n, K + j * ld, K + j * ld);
    return sqrt(square) <= MAX_CONDITION / 10.0;
}

/* Make the inverse of SR1's inner matrix; 0 where it is singular or, with `judge`, where the newest
 * pair may be refused. */
static int invert_inner(Model *self, double gamma, int judge)
{
    int k = self->k, ld = self->ld, old = k - 1;
    double *scale = self->inner_scale, *columns = self->v2, *M = self->T, *A = self->A;
    double *K = self->inner, *w = self->v1;
    for (int j = 0; j < k; j++) {
        int p = 2 * self->order[j];
        columns[j] = column_scale(self, j, gamma);
        scale[j] = sqrt(sqrt(GRAM(p, p)));
    }
    /* M = L + D + L' - gamma S'S, scaled to entries of at most 1. */
    double length0 = scale[0] * scale[0], unit = length0 * columns[0], square = 0.0;
    self->inner_size = unit;
    for (int j = 0; j < k; j++) scale[j] = scale[j] / sqrt(length0) * sqrt(columns[j] / columns[0]);
    for (int j = 0; j < k; j++)
        for (int i = 0; i <= j; i++) {
            int a = 2 * self->order[j], b = 2 * self->order[i];
            double value = GRAM(a, b + 1) - gamma * GRAM(a, b);
            A[i + j * ld] = A[j + i * ld] = value / scale[i] / scale[j] / unit;
        }
    /* 1. The inverse without the newest pair, and w = M_old^{-1} Psi_old' s. */
    const double *last = A + old * ld;
    copy(k, k, A, M, ld);
    if (!inverse(old, M, K, ld) || !is_moderate(old, K, ld)) {
        copy(k, k, A, M, ld);
        return !judge && inverse(k, M, K, ld) && is_moderate(k, K, ld);
    }
    times(old, old, K, ld, last, w);
    /* 2. The residual r = y - B_old s = Psi [-w; 1] and the denominator s'r. */
    double size = 0.0, denominator = last[old] - dot(old, w, last), *turned = self->v3;
    w[old] = -1.0;
    for (int l = 0; l < k; l++) {
        turned[l] = -w[l] / scale[l] * scale[old] * columns[l];
        size += fabs(turned[l]);
    }
    psi_gram(self, gamma, columns, self->Z);
    for (int j = 0; j < k; j++)
        square += turned[j] / size * (dot(k, self->Z + j * ld, turned) / size);
    if (judge && !(square > k * EPS)) return 0; /* satisfied */
    int p = 2 * self->order[old];
    double bound = self->skip * sqrt(GRAM(p, p)) * size * sqrt(square);
    if (judge && !(fabs(denominator) * scale[old] * scale[old] * unit >= bound)) return 0;
    /* 3. The inverse with the pair in: r r' / s'r is added to the matrix. */
    for (int j = 0; j < k; j++) {
        if (j < old) K[old + j * ld] = 0.0;
        else memset(K + j * ld, 0, k * sizeof(double));
        axpy(k, w[j] / denominator, w, K + j * ld);
    }
    return is_moderate(k, K, ld);
}

/* A pair (s, y) with its products, and what they say of gamma. */
typedef struct {
    double ss, sy, yy, ratio, gamma;
} Pair;

/* Write the two rows and columns of a slot of the Gram matrix; first save them, if asked for. */
static void exchange(Model *self, int slot, const double *rows, double *saved)
{
    int p = 2 * slot, ld = self->ld;
    for (int j = 0; saved && j < 2; j++) /* both, before the first row goes over the second column */
        for (int i = 0; i < 2 * self->m; i++) saved[i + j * ld] = GRAM(i, p + j);
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 2 * self->m; i++)
            GRAM(i, p + j) = GRAM(p + j, i) = rows[i + j * ld];
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

static int model_init(Model *self, PyObject *args, PyObject *Py_UNUSED(kwds))
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
    Py_ssize_t big = ld * ld, squares = 14, vectors = 12;
    self->memory = calloc(squares * big + 4 * ld + vectors * (ld + 4) + 3 * n, sizeof(double));
    self->order = malloc((self->m + 1 + 3 * ld) * sizeof(int));
    if (!self->memory || !self->order) {
        PyErr_NoMemory();
        return -1;
    }
    self->pivots = self->order + self->m + 1;
    self->sorted = self->pivots + ld;
    self->row_of = self->sorted + ld;
    double *at = self->memory;
    double **matrices[] = {&self->C, &self->R, &self->H, &self->F, &self->P, &self->inner, &self->S,
                           &self->Y, &self->A, &self->B, &self->T, &self->X, &self->L,
                           &self->Z};
    /* Whole tiles are computed on the last columns of C, wherever they begin. */
    for (int i = 0; i < 14; i++, at += i == 1 ? big + 4 * ld : big) *matrices[i] = at;
    double **short_ones[] = {&self->lam, &self->off, &self->tau, &self->par, &self->carrier_par,
                             &self->Ws, &self->Wy, &self->Wg_new, &self->inner_scale, &self->v1,
                             &self->v2, &self->v3};
    for (int i = 0; i < 12; i++, at += ld + 4) *short_ones[i] = at;
    double **long_ones[] = {&self->s, &self->y, &self->g_perp};
    for (int i = 0; i < 3; i++, at += n) *long_ones[i] = at;
    return 0;
}

static void model_dealloc(Model *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int i = 0; i < 3; i++)
        if (self->buffers[i].obj) PyBuffer_Release(&self->buffers[i]);
    free(self->memory);
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

/* |v|, whose largest entry is given, also where the square of it leaves the range. */
static double norm_of(int n, const double *v, double largest)
{
    double square = dot(n, v, v), sum = 0.0, unit;
    if (has_digits(square) || largest == 0.0 || !isfinite(largest)) return sqrt(square);
    int exponent;
    frexp(largest, &exponent);
    unit = ldexp(1.0, exponent - 1);
    for (int i = 0; i < n; i++) sum += v[i] / unit * (v[i] / unit);
    return unit * sqrt(sum);
}

static double largest_of(int n, const double *v)
{
    double largest = 0.0;
    for (int i = 0; i < n; i++) {
        if (isnan(v[i])) return NAN;
        largest = fabs(v[i]) > largest ? fabs(v[i]) : largest;
    }
    return largest;
}

/* measure(x, g) at the end of the step -> |x|, |g|, g's, max |g_i| */
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
    double largest = largest_of(n, gradient), of_g = norm_of(n, gradient, largest);
    double of_x = sqrt(dot(n, point, point)), slope = dot(n, gradient, self->s);
    if (!isfinite(of_x)) of_x = norm_of(n, point, largest_of(n, point));
    PyBuffer_Release(&views[0]);
    PyBuffer_Release(&views[1]);
    return Py_BuildValue("dddd", of_x, of_g, slope, largest);
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
    int failed = !blas || take(blas, "dgemm", 13, &dgemm) || take(blas, "dgemv", 11, &dgemv);
    Py_XDECREF(blas);
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
