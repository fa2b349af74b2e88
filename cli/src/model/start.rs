//! The table of a job file with which a job begins with an earlier network.

use anyhow::{Context as _, bail, ensure};
use haihe_models::{
    network::Architecture,
    table::{ColumnKind, ColumnSpec},
};
use haihe_protocol::{
    horizontal::network::{Model as Asked, Start},
    job::MAX_JOB_BYTES,
};
use serde::Serialize;
use serde_json::json;

use super::{Model, Opened};
use crate::Format;

/// What a job file has to say for a network.
#[derive(Serialize)]
struct Network<'a> {
    start: &'a Start,
}

/// What `haihe model start` prints: TOML.
pub fn start(opened: &Opened, format: Format) -> anyhow::Result<String> {
    let Model::Network(network) = &opened.model else {
        bail!("{} holds {}: a job can begin with a network only", opened.path.display(), opened.model.kind())
    };
    let (card, parameters) = &**network;
    let encoder = card.encoder.as_ref().with_context(|| {
        let path = opened.path.display();
        format!("{path}: the model card has no encoder, so a job could not tell what its inputs are")
    })?;
    let start = Start { parameters: parameters.clone(), encoder: serde_json::to_string(encoder)? };
    let asked = model(&card.architecture);
    let (table, body) = match &card.architecture {
        Architecture::Autoencoder { .. } => {
            let body = json!({"anomaly": {"autoencoder": Network { start: &start }}});
            ("anomaly.autoencoder", toml::to_string(&body)?)
        }
        _ => ("network", toml::to_string(&json!({"network": Network { start: &start }}))?),
    };
    ensure!(
        body.len() < MAX_JOB_BYTES,
        "{} parameters and their encoder take {} bytes as text; a job file has at most {MAX_JOB_BYTES}: such a network \
         cannot be handed to a job",
        parameters.len(),
        body.len()
    );
    let mut text = format!(
        "# Put this at the end of a job file. The job begins with {:?} if [{table}] has\n#   model = {}\n# and data.columns \
         has all of these, with the same kinds and levels:\n",
        opened.name,
        toml::Value::try_from(&asked)?
    );
    for column in encoder.columns() {
        text.push_str(&format!("#   {}\n", described(column)));
    }
    if encoder.series().is_some() {
        text.push_str("# encoding.series must be there, and does nothing: the encoder comes with the network.\n");
    }
    text.push_str(&body);
    Ok(match format {
        Format::Text => text,
        Format::Json => {
            format!("{}\n", json!({"table": table, "model": asked, "columns": encoder.columns(), "toml": text}))
        }
    })
}

/// A column on one line, whatever its name: what follows a line break would be no comment.
fn described(column: &ColumnSpec) -> String {
    match &column.kind {
        ColumnKind::Numeric => format!("{{ name = {:?}, kind = \"numeric\" }}", column.name),
        ColumnKind::Categorical { levels } => {
            format!("{{ name = {:?}, kind = \"categorical\", levels = {levels:?} }}", column.name)
        }
    }
}

/// The network as a job file asks for it.
fn model(architecture: &Architecture) -> Asked {
    match architecture.clone() {
        Architecture::Logistic { .. } => Asked::Logistic {},
        Architecture::Mlp { hidden, activation, .. } => Asked::Mlp { hidden, activation },
        Architecture::Autoencoder { hidden, activation, .. } => Asked::Autoencoder { hidden, activation },
        Architecture::Lstm { hidden, head, .. } => Asked::Lstm { hidden, head },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_cannot_leave_its_comment() {
        let name = "a\n[deadlines]\r\nattempts = 1".to_owned();
        for kind in [ColumnKind::Numeric, ColumnKind::Categorical { levels: vec![name.clone()] }] {
            assert_eq!(described(&ColumnSpec { name: name.clone(), kind }).lines().count(), 1);
        }
    }
}
