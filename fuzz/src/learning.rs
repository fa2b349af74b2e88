//! What a dishonest coordinator may ask, and what dishonest participants may add up to.

use haihe_protocol::{
    horizontal::{Layout, Next, Plan, Task},
    message::RoundSpec,
};

use crate::{
    bytes::Bytes,
    scene::{course, names, table},
};

/// A task as a dishonest coordinator signs it: refused or bounded before anything is allocated for it, and performed
/// without a panic.
pub(crate) fn task(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(task) = Task::from_json(text) else { return };
    let (spec, ..) = course();
    assert_eq!(Task::from_json(&task.to_json()), Some(task.clone()), "reads what was written");
    let Ok(parameters) = RoundSpec::parameters_of(&task, spec, 3, 1) else { return };
    let Ok(Layout::Exact(quantiser)) = task.layout(spec, 3, 2) else { return };
    assert!(quantiser.dimension() < parameters.dimension());
    // A participant asks its witness before it performs anything; this is what it does if the witness agrees.
    let Ok(values) = task.perform(spec, &table(spec, 1), 1, 3) else { return };
    if values.len() == quantiser.dimension() {
        let mut slots = vec![0; values.len()];
        let mut rng = haihe_privacy::prg::SecretStream::new(&[1; 32], 0);
        drop(quantiser.quantise(0, &values, &mut slots, &mut rng).map_err(|e| e.to_string()));
    }
}

pub(crate) fn task_seeds() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = course().1.iter().map(|step| step.task.to_json().into_bytes()).collect();
    // Layouts of regressions and correlations grow with the square of the number of variables.
    for step in &course().1 {
        let mut json = serde_json::to_value(&step.task).expect("a task is plain data");
        if let Some(binnings) = json.get_mut("binnings").and_then(|b| b.as_array_mut()) {
            let Some(mut one) = binnings.first().cloned() else { continue };
            one["bins"] = serde_json::json!([]);
            *binnings = vec![one; 3000];
            all.push(json.to_string().into_bytes());
        }
    }
    all
}

/// Sums that participants could bring about, step after step: the plan goes on, finishes or says why not.
pub(crate) fn plan(input: &[u8]) {
    let (spec, steps, result) = course();
    let parties = names(spec);
    let mut bytes = Bytes::new(input);
    let from = bytes.below(steps.len());
    let (mut plan, mut honest) = (steps[from].plan.clone(), true);
    for (number, step) in (from..).zip(steps.iter().skip(from).map(Some).chain(std::iter::repeat(None))).take(12) {
        let Ok(quantiser) = plan.task().layout(spec, 3, 2) else { return };
        let mut sum = match step {
            Some(step) if honest => step.sum.clone(),
            _ => vec![u64::from(bytes.byte()); quantiser.dimension()],
        };
        sum.resize(quantiser.dimension(), 0);
        for _ in 0..bytes.below(8) {
            let at = (bytes.number() % sum.len().max(1) as u64) as usize;
            // No slot holds more than three values of 32 bits.
            let value = bytes.magnitude() % (3 << 32);
            let run = 1 + bytes.below(200);
            sum.iter_mut().skip(at).take(run).for_each(|v| *v = value);
            honest = false;
        }
        match plan.absorb_sum(spec, &parties, 2, &sum, 3) {
            Err(error) => {
                drop(error.to_string());
                return;
            }
            Ok((_, Next::Finished(json))) => {
                assert!(!honest || json == *result, "an honest job has its own result");
                return;
            }
            Ok((summary, Next::Continue(next))) => {
                drop(summary.text);
                let json = serde_json::to_string(&next).expect("plans are plain data");
                let again: Plan = serde_json::from_str(&json).expect("a plan survives its journal");
                assert_eq!(again, *next, "the same plan after a restart");
                plan = *next;
            }
        }
        assert!(!honest || number < steps.len(), "an honest job ends");
    }
}

pub(crate) fn plan_seeds() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..course().1.len() as u8).map(|from| vec![from]).collect();
    for from in 0..course().1.len() as u8 {
        all.push([&[from, 3], [1u8; 60].as_slice()].concat());
        all.push([&[from, 5], [201u8; 120].as_slice()].concat());
    }
    all
}
