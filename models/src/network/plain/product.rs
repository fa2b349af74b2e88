//! Products of the matrices of dense layers. All matrices are row-major; sums go on top of what the result holds.
//!
//! Large ones go through nalgebra to `matrixmultiply`, on one thread; thin ones are loops over contiguous rows, which are faster
//! there.

use nalgebra::{DMatrixView, DMatrixViewMut, Dyn, MatrixView, RealField};

/// Up to this size of any side, loops win.
const THIN: usize = 5;
/// Independent sums in a dot product, so that they fill vector registers.
const LANES: usize = 8;

/// Sizes of a layer applied to a block: rows, and the layer's inputs and outputs.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) rows: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl Sizes {
    fn thin(self) -> bool {
        self.rows <= THIN || self.inputs <= THIN || self.outputs <= THIN
    }
}

/// `out += x weight^T`: `out` is rows x outputs, `weight` outputs x inputs; a row of `x` begins every `stride` numbers.
pub(super) fn add_forward(sizes: Sizes, x: &[f32], stride: usize, weight: &[f32], out: &mut [f32]) {
    let Sizes { rows, inputs, outputs } = sizes;
    if sizes.thin() {
        for (out, x) in out.chunks_exact_mut(outputs).zip(x.chunks(stride)).take(rows) {
            for (o, w) in out.iter_mut().zip(weight.chunks_exact(inputs)) {
                *o += dot(&x[..inputs], w);
            }
        }
        return;
    }
    // nalgebra is column-major: a row-major matrix is its transpose there.
    let x = MatrixView::<f32, Dyn, Dyn, _, Dyn>::from_slice_with_strides_generic(
        x,
        Dyn(inputs),
        Dyn(rows),
        nalgebra::U1,
        Dyn(stride),
    );
    let weight = DMatrixView::from_slice_with_strides(weight, outputs, inputs, inputs, 1);
    DMatrixViewMut::from_slice(out, outputs, rows).gemm(1.0, &weight, &x, 1.0);
}

/// `back = slopes weight`: `back` is rows x inputs, `slopes` rows x outputs.
pub(super) fn backward(sizes: Sizes, slopes: &[f32], weight: &[f32], back: &mut [f32]) {
    let Sizes { rows, inputs, outputs } = sizes;
    let back = &mut back[..rows * inputs];
    if sizes.thin() {
        back.fill(0.0);
        for (back, slopes) in back.chunks_exact_mut(inputs).zip(slopes.chunks_exact(outputs)) {
            for (&s, w) in slopes.iter().zip(weight.chunks_exact(inputs)) {
                back.iter_mut().zip(w).for_each(|(b, w)| *b += s * w);
            }
        }
        return;
    }
    let slopes = DMatrixView::from_slice(slopes, outputs, rows);
    let weight = DMatrixView::from_slice(weight, inputs, outputs);
    DMatrixViewMut::from_slice(back, inputs, rows).gemm(1.0, &weight, &slopes, 0.0);
}

/// `weight += slopes^T x` and `bias += sum of slopes`: the gradient of one layer, summed over the rows.
pub(super) fn add_gradient<T: RealField + Copy>(sizes: Sizes, slopes: &[T], x: &[T], weight: &mut [T], bias: &mut [T]) {
    let Sizes { rows, inputs, outputs } = sizes;
    for slopes in slopes.chunks_exact(outputs).take(rows) {
        bias.iter_mut().zip(slopes).for_each(|(b, &s)| *b += s);
    }
    if sizes.thin() {
        for (slopes, x) in slopes.chunks_exact(outputs).zip(x.chunks_exact(inputs)).take(rows) {
            for (&s, w) in slopes.iter().zip(weight.chunks_exact_mut(inputs)) {
                w.iter_mut().zip(x).for_each(|(w, &x)| *w += s * x);
            }
        }
        return;
    }
    let slopes = DMatrixView::from_slice_with_strides(slopes, rows, outputs, outputs, 1);
    let x = DMatrixView::from_slice(x, inputs, rows);
    DMatrixViewMut::from_slice(weight, inputs, outputs).gemm(T::one(), &x, &slopes, T::one());
}

/// `sum a b`, over the shorter of both.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}
