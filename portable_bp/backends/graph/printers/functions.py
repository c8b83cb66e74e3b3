"""The functions that generated source calls, as text that Numba compiles with it."""

# FLOAT stands for the floating-point dtype of the program.
FUNCTIONS = """
to_float32, to_float64, to_int32, to_int64 = np.float32, np.float64, np.int32, np.int64
sqrt, floor, ceil, isfinite, isnan, isinf = np.sqrt, np.floor, np.ceil, np.isfinite, np.isnan, np.isinf
sin, cos, tan, sinh, cosh, atan, absolute = np.sin, np.cos, np.tan, np.sinh, np.cosh, np.arctan, abs

@inlined
def to_bool(a):
    return a != 0

@inlined
def maximum(a, b):
    return a if a > b or a != a else b

@inlined
def minimum(a, b):
    return a if a < b or a != a else b

@inlined
def sign(a):
    return a if a != a else to_FLOAT(a > 0) - to_FLOAT(a < 0)

@inlined
def where(condition, a, b):
    return a if condition else b

@inlined
def pow(a, b):
    return a ** b

@summing
def add_up(p, start, count):
    total = to_FLOAT(0)
    for i in range(count):
        total += p[start + i]
    return total

@plain
def add_rows(p, stride, rows, columns, out):
    for j in range(columns):
        out[j] = to_FLOAT(0)
    whole = rows - rows % 4
    for i in range(0, whole, 4):
        at = i * stride
        for j in range(columns):
            out[j] += (p[at + j] + p[at + stride + j]) + (p[at + 2 * stride + j] + p[at + 3 * stride + j])
    for i in range(whole, rows):
        for j in range(columns):
            out[j] += p[i * stride + j]

@summing
def add_products(p, q, count):
    total = to_FLOAT(0)
    for i in range(count):
        total += p[i] * q[i]
    return total

@plain
def turn(p, stride, rows, columns, out):
    for i in range(rows):
        for j in range(columns):
            out[i * columns + j] = p[j * stride + i]

@plain
def multiply_matrices(a, row, column, b, stride, out, rows, shared, columns, alpha, beta):
    for i in range(rows):
        start = i * columns
        for j in range(columns):
            out[start + j] = beta * out[start + j] if beta != 0 else beta
        whole = shared - shared % 4
        for k in range(0, whole, 4):
            at = i * row + k * column
            s0, s1 = alpha * a[at], alpha * a[at + column]
            s2, s3 = alpha * a[at + 2 * column], alpha * a[at + 3 * column]
            below = k * stride
            for j in range(columns):
                sums = s0 * b[below + j] + s1 * b[below + stride + j]
                sums += s2 * b[below + 2 * stride + j] + s3 * b[below + 3 * stride + j]
                out[start + j] += sums
        for k in range(whole, shared):
            s0 = alpha * a[i * row + k * column]
            for j in range(columns):
                out[start + j] += s0 * b[k * stride + j]

@plain
def multiply(sizes, a, b, room, out, alpha, beta):
    rows, shared, columns, lda, a_turned, ldb, b_turned = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6]
    address, alpha, beta = sizes[7], to_FLOAT(alpha), to_FLOAT(beta)
    if address:
        kinds = np.int32(111 + a_turned), np.int32(111 + b_turned)  # what BLAS calls them
        gemm(address, np.int32(101), kinds[0], kinds[1], rows, columns, shared, alpha, a, lda, b, ldb, beta, out, columns)
        return
    if b_turned:
        turn(b, ldb, shared, columns, room)
        b, ldb = room, columns
    row, column = (1, lda) if a_turned else (lda, 1)
    multiply_matrices(a, row, column, b, ldb, out, rows, shared, columns, alpha, beta)
"""
