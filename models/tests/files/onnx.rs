//! Networks as ONNX graphs. `cargo xtask reference` applies such files with ONNX Runtime.

use haihe_models::files::onnx::messages::{ATTRIBUTE_INT, FLOAT, INT32, ModelProto, TensorProto};
use haihe_models::files::weights::CARD_KEY;
use haihe_models::files::{FileError, ModelCard, onnx};
use haihe_models::network::{Architecture, Examples, Learner as _, Objective, Plain};
use prost::Message as _;

use crate::graph::{Tensor, constant, run};
use crate::{architectures, card, forward};

fn inputs(examples: &Examples) -> Vec<(&'static str, Tensor)> {
    let x = examples.x.iter().map(|&x| f64::from(x)).collect();
    let mut inputs = vec![("inputs", Tensor::new(&[examples.rows(), examples.width], x))];
    if !examples.lengths.is_empty() {
        inputs.push((
            "lengths",
            Tensor::new(&[examples.rows()], examples.lengths.iter().map(|&l| f64::from(l)).collect()),
        ));
    }
    inputs
}

#[test]
fn graphs_compute_what_the_networks_do() {
    for architecture in architectures() {
        let (parameters, examples) = forward::case(&architecture, 20, 5);
        let model = onnx::model(&card(architecture.clone()), &parameters).unwrap();
        let graph = model.graph.as_ref().unwrap();
        let values = run(graph, &inputs(&examples));
        for row in 0..examples.rows() {
            let length = examples.lengths.get(row).map_or(0, |&l| l as usize);
            let expected = forward::forward(&architecture, &parameters, examples.row(row), length);
            let near = |found: f64, expected: f64| {
                assert!((found - expected).abs() < 1e-12, "{architecture:?}, row {row}: {found} for {expected}");
            };
            match architecture.objective() {
                Objective::Credit => {
                    near(values["log_odds"].data[row], expected[0]);
                    near(values["probability_of_bad"].data[row], 1.0 / (1.0 + (-expected[0]).exp()));
                }
                Objective::Reconstruction => {
                    let found = &values["reconstruction"].data[row * examples.width..];
                    expected.iter().zip(found).for_each(|(&e, &f)| near(f, e));
                    near(values["anomaly_score"].data[row], forward::squared_error(examples.row(row), &expected));
                }
            }
        }
        for output in &graph.output {
            let shape = output.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().shape.as_ref().unwrap();
            let found = &values[output.name.as_ref().unwrap()].shape;
            assert_eq!(shape.dim.len(), found.len());
            assert_eq!(shape.dim.get(1).map(|d| d.dim_value.unwrap() as usize), found.get(1).copied());
        }
    }
}

#[test]
fn learners_predict_what_the_graphs_give() {
    for architecture in architectures() {
        let (parameters, examples) = forward::case(&architecture, 50, 8);
        let mut plain = Plain::forward_only(architecture.clone()).unwrap();
        let predicted = plain.predict(&parameters, &examples).unwrap();
        let model = onnx::model(&card(architecture.clone()), &parameters).unwrap();
        let values = run(model.graph.as_ref().unwrap(), &inputs(&examples));
        let output = match architecture.objective() {
            Objective::Credit => "log_odds",
            Objective::Reconstruction => "anomaly_score",
        };
        let apart = predicted.iter().zip(&values[output].data).map(|(&p, v)| (f64::from(p) - v).abs());
        let apart = apart.fold(0.0, f64::max);
        println!("{}: {apart:.1e}", ModelCard::kind_of(&architecture));
        assert!(predicted.len() == 50 && apart < 1e-5, "{architecture:?}: {apart}");
    }
}

#[test]
fn files_hold_the_parameters_and_the_card() {
    for architecture in architectures() {
        let (parameters, card) = (architecture.initial(9), card(architecture));
        let bytes = onnx::write(&card, &parameters).unwrap();
        assert_eq!(bytes, onnx::write(&card, &parameters).unwrap(), "the same bytes every time");
        let model = ModelProto::decode(&bytes[..]).unwrap();
        assert_eq!(model, onnx::model(&card, &parameters).unwrap());
        let [entry] = &model.metadata_props[..] else { panic!("one entry") };
        assert_eq!(entry.key.as_deref(), Some(CARD_KEY));
        assert_eq!(ModelCard::from_json(entry.value.as_ref().unwrap()).unwrap(), card);
        let [operators] = &model.opset_import[..] else { panic!("one set of operators") };
        assert_eq!((model.ir_version, operators.version, operators.domain.as_deref()), (Some(8), Some(17), Some("")));
        let graph = model.graph.unwrap();
        let float = |t: &&TensorProto| t.data_type() == FLOAT;
        let mut found: Vec<f64> = graph.initializer.iter().filter(float).flat_map(|t| constant(t).data).collect();
        let mut expected: Vec<f64> = parameters.iter().map(|&p| f64::from(p)).collect();
        found.sort_by(f64::total_cmp);
        expected.sort_by(f64::total_cmp);
        assert_eq!(found, expected, "every parameter once");
        for spec in card.architecture.tensors().iter().filter(|t| !t.name.starts_with("lstm.")) {
            let tensor = graph.initializer.iter().find(|t| t.name.as_ref() == Some(&spec.name)).unwrap();
            let shape: Vec<usize> = tensor.dims.iter().map(|&d| d as usize).collect();
            assert_eq!(shape, spec.shape);
            let values: Vec<f64> = parameters[spec.range()].iter().map(|&p| f64::from(p)).collect();
            assert_eq!(constant(tensor).data, values);
        }
    }
}

#[test]
fn names_are_unique_and_numbers_that_are_zero_are_written() {
    let architecture = Architecture::Autoencoder { inputs: 3, hidden: vec![2], activation: Default::default() };
    let bytes = onnx::write(&card(architecture.clone()), &architecture.initial(1)).unwrap();
    let graph = ModelProto::decode(&bytes[..]).unwrap().graph.unwrap();
    let mean = graph.node.iter().find(|n| n.op_type.as_deref() == Some("ReduceMean")).unwrap();
    let keep = mean.attribute.iter().find(|a| a.name.as_deref() == Some("keepdims")).unwrap();
    assert_eq!((keep.i, keep.r#type), (Some(0), Some(ATTRIBUTE_INT)));
    let mut names: Vec<_> = graph.node.iter().map(|n| n.name.clone().unwrap()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), graph.node.len());
    let lstm = Architecture::Lstm { steps: 2, channels: 1, statics: 0, hidden: 1, head: vec![] };
    let graph = onnx::model(&card(lstm.clone()), &lstm.initial(1)).unwrap().graph.unwrap();
    let types = graph.input.iter().map(|i| i.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().elem_type.unwrap());
    assert_eq!(types.collect::<Vec<_>>(), [FLOAT, INT32]);
    let node = graph.node.iter().find(|n| n.op_type.as_deref() == Some("LSTM")).unwrap();
    assert_eq!(node.output, ["", "state.last"], "the second output is the last state");
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let card = card(Architecture::Logistic { inputs: 2 });
    assert!(matches!(onnx::write(&card, &[0.0; 2]), Err(FileError::Network(_))));
    assert!(matches!(onnx::write(&card, &[f32::INFINITY; 3]), Err(FileError::NotFinite { .. })));
    let mut wrong = card.clone();
    wrong.architecture = Architecture::Logistic { inputs: 0 };
    assert!(matches!(onnx::write(&wrong, &[0.0]), Err(FileError::Network(_))));
}
