//! Networks as ONNX files: a graph of operators with the parameters in it, which any ONNX runtime applies.
//!
//! | network | inputs | outputs |
//! |---|---|---|
//! | logistic, MLP | `inputs` `[N, width]` | `log_odds` `[N]` of bad, `probability_of_bad` `[N]` |
//! | LSTM | `inputs` `[N, width]`, `lengths` `[N]` int32 | the same |
//! | autoencoder | `inputs` `[N, width]` | `reconstruction` `[N, width]`, `anomaly_score` `[N]`, the mean squared error |
//!
//! `inputs` are ENCODED rows, floats: the model card, which is the file's metadata `haihe.model_card`, says how raw rows are
//! encoded. A length is the steps of the row's series that are there, 0 to the network's; after 0 steps the LSTM's state is zero.
//! A runtime refuses a length beyond the network's steps. N is at least 1: ONNX Runtime's LSTM crashes without a row.
//!
//! Operators are of ONNX operator set 17, the file of IR version 8.

use prost::Message;

use super::FileError;
use super::card::{ModelCard, check_parameters};
use super::weights::CARD_KEY;
use crate::network::{Activation, Architecture};
use messages::*;

pub mod messages;

/// Version of the file format.
pub const IR_VERSION: i64 = 8;
/// Version of ONNX's operators.
pub const OPERATOR_SET: i64 = 17;

/// The bytes of an ONNX file. The same card and parameters give the same bytes.
pub fn write(card: &ModelCard, parameters: &[f32]) -> Result<Vec<u8>, FileError> {
    Ok(model(card, parameters)?.encode_to_vec())
}

/// The same before it is encoded.
pub fn model(card: &ModelCard, parameters: &[f32]) -> Result<ModelProto, FileError> {
    let json = card.to_json()?;
    check_parameters(&card.architecture, parameters)?;
    let mut graph = Graph { parameters, graph: GraphProto::default() };
    graph.build(&card.architecture);
    Ok(ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("haihe".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        doc_string: Some(card.name.clone()),
        graph: Some(GraphProto { name: Some(card.kind.clone()), ..graph.graph }),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPERATOR_SET) }],
        metadata_props: vec![StringStringEntryProto { key: Some(CARD_KEY.to_owned()), value: Some(json) }],
    })
}

/// A graph that grows, operator by operator.
struct Graph<'a> {
    parameters: &'a [f32],
    graph: GraphProto,
}

impl Graph<'_> {
    fn build(&mut self, architecture: &Architecture) {
        self.graph.input.push(value("inputs", FLOAT, Some(architecture.inputs()), "encoded rows"));
        match architecture {
            Architecture::Logistic { .. } => {
                self.dense(architecture, "inputs", Activation::Relu, "logits");
                self.credit();
            }
            Architecture::Mlp { activation, .. } => {
                self.dense(architecture, "inputs", *activation, "logits");
                self.credit();
            }
            Architecture::Autoencoder { activation, .. } => {
                self.dense(architecture, "inputs", *activation, "reconstruction");
                self.anomaly(architecture.inputs());
            }
            Architecture::Lstm { .. } => {
                let features = self.lstm(architecture);
                self.dense(architecture, features, Activation::Relu, "logits");
                self.credit();
            }
        }
    }

    /// The chain of dense layers from `input` to `output`, each but the last with its activation.
    fn dense(&mut self, architecture: &Architecture, input: &str, activation: Activation, output: &str) {
        let tensors = architecture.tensors();
        let layers: Vec<_> = tensors.iter().filter(|t| !t.name.starts_with("lstm.")).collect();
        let activation = match activation {
            Activation::Relu => "Relu",
            Activation::Tanh => "Tanh",
        };
        let mut input = input.to_owned();
        for (layer, pair) in layers.chunks_exact(2).enumerate() {
            let (weight, bias) = (pair[0], pair[1]);
            for tensor in [weight, bias] {
                self.floats(&tensor.name, &tensor.shape, self.parameters[tensor.range()].to_vec());
            }
            let last = 2 * (layer + 1) == layers.len();
            let sum = if last { output.to_owned() } else { format!("sum.{layer}") };
            self.add("Gemm", &[&input, &weight.name, &bias.name], &sum, vec![int("transB", 1)]);
            if !last {
                input = format!("units.{layer}");
                self.add(activation, &[&sum], &input, vec![]);
            }
        }
    }

    /// From `logits` [N, 1] to the outputs of a credit network.
    fn credit(&mut self) {
        self.whole("column", &[1]);
        self.add("Squeeze", &["logits", "column"], "log_odds", vec![]);
        self.add("Sigmoid", &["log_odds"], "probability_of_bad", vec![]);
        self.graph.output.push(value("log_odds", FLOAT, None, "log-odds of bad"));
        self.graph.output.push(value("probability_of_bad", FLOAT, None, "1 / (1 + exp(-log_odds))"));
    }

    /// From `reconstruction` to the outputs of an autoencoder.
    fn anomaly(&mut self, width: usize) {
        self.add("Sub", &["reconstruction", "inputs"], "residuals", vec![]);
        self.add("Mul", &["residuals", "residuals"], "squares", vec![]);
        let over_inputs = vec![ints("axes", &[1]), int("keepdims", 0)];
        self.add("ReduceMean", &["squares"], "anomaly_score", over_inputs);
        self.graph.output.push(value(
            "reconstruction",
            FLOAT,
            Some(width),
            "the inputs as the network gives them back",
        ));
        self.graph.output.push(value("anomaly_score", FLOAT, None, "mean squared error; high for anomalies"));
    }

    /// From `inputs` and `lengths` to the inputs of the head, whose name is returned.
    fn lstm(&mut self, architecture: &Architecture) -> &'static str {
        let &Architecture::Lstm { steps, channels, statics, hidden, .. } = architecture else { return "inputs" };
        let [steps, channels, statics, hidden] = [steps, channels, statics, hidden].map(|size| size as i64);
        self.graph.input.push(value("lengths", INT32, None, "steps of each row's series that are there"));
        self.lstm_tensors(architecture);
        for (name, number) in [("first", 0), ("column", 1), ("series.end", steps * channels)] {
            self.whole(name, &[number]);
        }
        self.whole("series.shape", &[0, steps, channels]);
        self.add("Slice", &["inputs", "first", "series.end", "column"], "series.flat", vec![]);
        // A 0 keeps the size, here of the rows.
        self.add("Reshape", &["series.flat", "series.shape"], "series.rows", vec![]);
        self.add("Transpose", &["series.rows"], "series", vec![ints("perm", &[1, 0, 2])]);
        // Runtimes differ about series of no steps: such a row takes one step, and its state is then made zero.
        self.constant("one", &[], INT32, 1i32.to_le_bytes().to_vec());
        self.add("Max", &["lengths", "one"], "lengths.run", vec![]);
        self.constant("zero", &[], INT32, 0i32.to_le_bytes().to_vec());
        self.add("Greater", &["lengths", "zero"], "some", vec![]);
        self.add("Cast", &["some"], "some.float", vec![int("to", i64::from(FLOAT))]);
        self.add("Unsqueeze", &["some.float", "column"], "mask", vec![]);
        let of = ["series", "lstm.weight_ih", "lstm.weight_hh", "lstm.bias", "lengths.run"];
        self.add("LSTM", &of, "state.last", vec![int("hidden_size", hidden)]);
        if let Some(node) = self.graph.node.last_mut() {
            // The first output is the state after every step, the second the last one.
            node.output.insert(0, String::new());
        }
        self.add("Squeeze", &["state.last", "first"], "state.run", vec![]);
        self.add("Mul", &["state.run", "mask"], "state", vec![]);
        if statics == 0 {
            return "state";
        }
        self.whole("row.end", &[steps * channels + statics]);
        self.add("Slice", &["inputs", "series.end", "row.end", "column"], "statics", vec![]);
        self.add("Concat", &["state", "statics"], "features", vec![int("axis", 1)]);
        "features"
    }

    /// The tensors of the LSTM as ONNX wants them: gates in the order input, output, forget, cell (PyTorch: input, forget, cell,
    /// output), a first dimension of 1 for the direction, both biases in one.
    fn lstm_tensors(&mut self, architecture: &Architecture) {
        let tensors = architecture.tensors();
        let gates = |index: usize| -> (Vec<usize>, Vec<f32>) {
            let tensor = &tensors[index];
            let blocks: Vec<&[f32]> = self.parameters[tensor.range()].chunks(tensor.len() / 4).collect();
            (tensor.shape.clone(), [0, 3, 1, 2].into_iter().flat_map(|gate| blocks[gate]).copied().collect())
        };
        let [(of_input, input), (of_state, state), (units, input_bias), (_, state_bias)] = [0, 1, 2, 3].map(gates);
        self.floats("lstm.weight_ih", &[&[1], &of_input[..]].concat(), input);
        self.floats("lstm.weight_hh", &[&[1], &of_state[..]].concat(), state);
        self.floats("lstm.bias", &[1, 2 * units[0]], [input_bias, state_bias].concat());
    }

    /// An operator with one output.
    fn add(&mut self, operator: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: Some(format!("{operator}.{}", self.graph.node.len())),
            op_type: Some(operator.to_owned()),
            attribute,
        });
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        self.constant(name, shape, FLOAT, values.into_iter().flat_map(f32::to_le_bytes).collect());
    }

    /// A vector of whole numbers; a second one of the same name is the same.
    fn whole(&mut self, name: &str, values: &[i64]) {
        if !self.graph.initializer.iter().any(|tensor| tensor.name.as_deref() == Some(name)) {
            self.constant(name, &[values.len()], INT64, values.iter().flat_map(|v| v.to_le_bytes()).collect());
        }
    }

    fn constant(&mut self, name: &str, shape: &[usize], data_type: i32, raw_data: Vec<u8>) {
        self.graph.initializer.push(TensorProto {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: Some(data_type),
            name: Some(name.to_owned()),
            raw_data: Some(raw_data),
        });
    }
}

/// An input or output of N rows, of `width` numbers or of one.
fn value(name: &str, data_type: i32, width: Option<usize>, doc: &str) -> ValueInfoProto {
    let rows = DimensionProto { dim_value: None, dim_param: Some("N".to_owned()) };
    let width = width.map(|width| DimensionProto { dim_value: Some(width as i64), dim_param: None });
    let shape = TensorShapeProto { dim: [rows].into_iter().chain(width).collect() };
    let tensor_type = TensorTypeProto { elem_type: Some(data_type), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type) }),
        doc_string: Some(doc.to_owned()),
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), i: Some(value), ints: vec![], r#type: Some(ATTRIBUTE_INT) }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), i: None, ints: values.to_vec(), r#type: Some(ATTRIBUTE_INTS) }
}
