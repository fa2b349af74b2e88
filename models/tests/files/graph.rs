//! Applies an ONNX graph, operator by operator as ONNX describes them, in 64-bit numbers.

use std::collections::BTreeMap;

use haihe_models::files::onnx::messages::{FLOAT, GraphProto, INT32, INT64, NodeProto, TensorProto};

#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Tensor {
    pub fn new(shape: &[usize], data: Vec<f64>) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Tensor { shape: shape.to_vec(), data }
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Tensor {
        Tensor::new(&self.shape, self.data.iter().map(|&x| f(x)).collect())
    }

    /// Element by element; the second may have fewer elements and is repeated over the last dimensions of the first, or be a column.
    fn with(&self, other: &Tensor, f: impl Fn(f64, f64) -> f64) -> Tensor {
        let each = self.data.len() / other.data.len();
        Tensor::new(&self.shape, self.data.iter().enumerate().map(|(i, &x)| f(x, other.data[i / each])).collect())
    }

    fn whole(&self) -> Vec<usize> {
        self.data.iter().map(|&x| x as usize).collect()
    }
}

/// A constant of a graph.
pub fn constant(tensor: &TensorProto) -> Tensor {
    let (raw, shape) = (tensor.raw_data.as_ref().unwrap(), tensor.dims.iter().map(|&d| d as usize).collect::<Vec<_>>());
    let data = match tensor.data_type.unwrap() {
        FLOAT => raw.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
        INT32 => raw.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect(),
        INT64 => raw.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
        other => panic!("type {other}"),
    };
    Tensor::new(&shape, data)
}

/// All values of a graph. Panics if an operator takes what is not there yet, or a name is given twice.
pub fn run(graph: &GraphProto, inputs: &[(&str, Tensor)]) -> BTreeMap<String, Tensor> {
    let mut values: BTreeMap<String, Tensor> = BTreeMap::new();
    let give = |name: &str, value: Tensor, values: &mut BTreeMap<String, Tensor>| {
        assert!(values.insert(name.to_owned(), value).is_none(), "{name} is given twice");
    };
    for tensor in &graph.initializer {
        give(tensor.name.as_ref().unwrap(), constant(tensor), &mut values);
    }
    for (name, value) in inputs {
        give(name, value.clone(), &mut values);
    }
    for node in &graph.node {
        let taken: Vec<&Tensor> =
            node.input.iter().map(|name| values.get(name).unwrap_or_else(|| panic!("{name} is not there"))).collect();
        let value = apply(node, &taken);
        give(node.output.iter().find(|name| !name.is_empty()).unwrap(), value, &mut values);
    }
    values
}

fn attribute(node: &NodeProto, name: &str) -> Vec<i64> {
    let found = node.attribute.iter().find(|a| a.name.as_deref() == Some(name));
    found.map_or(vec![], |a| a.i.map_or_else(|| a.ints.clone(), |i| vec![i]))
}

fn apply(node: &NodeProto, taken: &[&Tensor]) -> Tensor {
    let first = taken[0];
    match node.op_type.as_deref().unwrap() {
        "Relu" => first.map(|x| x.max(0.0)),
        "Tanh" => first.map(f64::tanh),
        "Sigmoid" => first.map(sigmoid),
        "Cast" => first.clone(),
        "Sub" => first.with(taken[1], |a, b| a - b),
        "Mul" => first.with(taken[1], |a, b| a * b),
        "Max" => first.with(taken[1], f64::max),
        "Greater" => first.with(taken[1], |a, b| f64::from(u8::from(a > b))),
        "Gemm" => gemm(first, taken[1], taken[2], attribute(node, "transB")),
        "ReduceMean" => {
            assert_eq!((attribute(node, "axes"), attribute(node, "keepdims")), (vec![1], vec![0]));
            let width = first.shape[1];
            Tensor::new(
                &first.shape[..1],
                first.data.chunks(width).map(|r| r.iter().sum::<f64>() / width as f64).collect(),
            )
        }
        "Squeeze" => {
            let mut shape = first.shape.clone();
            assert_eq!(shape.remove(taken[1].whole()[0]), 1);
            Tensor::new(&shape, first.data.clone())
        }
        "Unsqueeze" => {
            let mut shape = first.shape.clone();
            shape.insert(taken[1].whole()[0], 1);
            Tensor::new(&shape, first.data.clone())
        }
        "Reshape" => {
            let to = taken[1].whole();
            let shape: Vec<usize> =
                to.iter().zip(0..).map(|(&d, i): (_, usize)| if d == 0 { first.shape[i] } else { d }).collect();
            Tensor::new(&shape, first.data.clone())
        }
        "Slice" => {
            let [start, end, axis] = [1, 2, 3].map(|k| taken[k].whole()[0]);
            assert_eq!((axis, first.shape.len()), (1, 2));
            Tensor::new(&[first.shape[0], end - start], rows(first, |row| row[start..end].to_vec()))
        }
        "Concat" => {
            assert_eq!(attribute(node, "axis"), [1]);
            let (a, b) = (first.shape[1], taken[1].shape[1]);
            let joined = first.data.chunks(a).zip(taken[1].data.chunks(b)).flat_map(|(x, y)| [x, y].concat());
            Tensor::new(&[first.shape[0], a + b], joined.collect())
        }
        "Transpose" => {
            assert_eq!(attribute(node, "perm"), [1, 0, 2]);
            let [a, b, c] = [0, 1, 2].map(|d| first.shape[d]);
            let swapped = (0..b).flat_map(|j| (0..a).map(move |i| (i, j)));
            Tensor::new(&[b, a, c], swapped.flat_map(|(i, j)| first.data[(i * b + j) * c..][..c].to_vec()).collect())
        }
        "LSTM" => lstm(taken, attribute(node, "hidden_size")[0] as usize),
        other => panic!("operator {other}"),
    }
}

fn rows(tensor: &Tensor, f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    tensor.data.chunks(tensor.shape[1]).flat_map(f).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `A B' + C`, C one number per column.
fn gemm(a: &Tensor, b: &Tensor, c: &Tensor, transposed: Vec<i64>) -> Tensor {
    assert_eq!((transposed, a.shape[1], b.shape[0]), (vec![1], b.shape[1], c.shape[0]));
    let product = |row: &[f64]| -> Vec<f64> {
        let dot = |(unit, bias): (&[f64], &f64)| unit.iter().zip(row).map(|(x, y)| x * y).sum::<f64>() + bias;
        b.data.chunks(b.shape[1]).zip(&c.data).map(dot).collect()
    };
    Tensor::new(&[a.shape[0], b.shape[0]], rows(a, product))
}

/// X [steps, rows, channels], W, R and B of one direction with the gates input, output, forget, cell, and the rows' lengths: the
/// last states, [1, rows, hidden].
fn lstm(taken: &[&Tensor], hidden: usize) -> Tensor {
    let [x, w, r, b, lengths] = [0, 1, 2, 3, 4].map(|k| taken[k]);
    let [steps, rows, channels] = [0, 1, 2].map(|d| x.shape[d]);
    assert_eq!(w.shape, [1, 4 * hidden, channels]);
    assert_eq!(r.shape, [1, 4 * hidden, hidden]);
    assert_eq!(b.shape, [1, 8 * hidden]);
    let mut last = Vec::new();
    for row in 0..rows {
        let (mut state, mut cell) = (vec![0.0; hidden], vec![0.0; hidden]);
        assert!((1..=steps).contains(&(lengths.data[row] as usize)));
        for step in 0..lengths.data[row] as usize {
            let input = &x.data[(step * rows + row) * channels..][..channels];
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            let gate = |g: usize| {
                let of_input = dot(&w.data[g * channels..][..channels], input);
                of_input + dot(&r.data[g * hidden..][..hidden], &state) + b.data[g] + b.data[4 * hidden + g]
            };
            let gates: Vec<f64> = (0..4 * hidden).map(gate).collect();
            for unit in 0..hidden {
                let [i, o, f, c] = [0, 1, 2, 3].map(|g| gates[g * hidden + unit]);
                cell[unit] = sigmoid(f) * cell[unit] + sigmoid(i) * c.tanh();
                state[unit] = sigmoid(o) * cell[unit].tanh();
            }
        }
        last.extend(state);
    }
    Tensor::new(&[1, rows, hidden], last)
}
