//! A network's parameters and its card in one safetensors file.
//!
//! Safetensors: the length of a JSON header as 8 bytes, little-endian; the header, with the type, the shape and the place of every
//! tensor; the tensors. It holds numbers only and no program, unlike a pickle. The card is a text of the header's `__metadata__`.
//! The tensors have PyTorch's names and shapes, so a module with the same layers takes them with `load_state_dict`.

use std::borrow::Cow;

use safetensors::{
    Dtype, View,
    tensor::{Metadata, SafeTensorError},
};

use super::card::{MAX_CARD_BYTES, ModelCard, check_parameters, within};
use super::{Damage, FileError};
use crate::network::{Architecture, TensorSpec, architecture::MAX_PARAMETERS};

/// Name of the card in the file's metadata.
pub const CARD_KEY: &str = "haihe.model_card";
/// Most bytes of the header: the card as JSON within JSON, which doubles its quotes and backslashes at most, and the tensors.
const MAX_HEADER_BYTES: usize = 2 * MAX_CARD_BYTES + 65_536;
/// Most bytes of a file.
pub const MAX_FILE_BYTES: usize = 8 + MAX_HEADER_BYTES + 4 * MAX_PARAMETERS;

/// The file's bytes. The same card and parameters give the same bytes.
pub fn write(card: &ModelCard, parameters: &[f32]) -> Result<Vec<u8>, FileError> {
    let json = card.to_json()?;
    check_parameters(&card.architecture, parameters)?;
    let tensors = card.architecture.tensors();
    let views = tensors.iter().map(|spec| (spec.name.as_str(), Tensor { spec, values: &parameters[spec.range()] }));
    // One entry only: entries of a hash map would be written in any order.
    let metadata = [(CARD_KEY.to_owned(), json)].into_iter().collect();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(damaged)?;
    within(bytes.len(), MAX_FILE_BYTES, "the file")?;
    Ok(bytes)
}

/// Reads what [`write()`] wrote. Nothing is believed: sizes are bounded before anything is allocated, and the tensors must be those of
/// the card's network, finite, and nothing else.
pub fn read(bytes: &[u8]) -> Result<(ModelCard, Vec<f32>), FileError> {
    within(bytes.len(), MAX_FILE_BYTES, "the file")?;
    let (header, data) = parts(bytes)?;
    // Not `SafeTensors::deserialize`, which adds up lengths that a forged header can make overflow.
    let header: Metadata =
        serde_json::from_slice(header).map_err(|_| FileError::Damaged { problem: Damage::Header })?;
    if header.data_len() != data.len() {
        return Err(FileError::Damaged { problem: Damage::Length });
    }
    let json = header.metadata().as_ref().and_then(|m| m.get(CARD_KEY)).ok_or(FileError::NoCard)?;
    let card = ModelCard::from_json(json)?;
    let parameters = tensors(&card.architecture, &header, data)?;
    Ok((card, parameters))
}

/// Header and data.
fn parts(bytes: &[u8]) -> Result<(&[u8], &[u8]), FileError> {
    let short = FileError::Damaged { problem: Damage::Short };
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return Err(short) };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES as u64 {
        return Err(FileError::TooLarge { what: "the header", bytes: length, most: MAX_HEADER_BYTES as u64 });
    }
    rest.split_at_checked(length as usize).ok_or(short)
}

/// The parameters in the order of the network.
fn tensors(architecture: &Architecture, header: &Metadata, data: &[u8]) -> Result<Vec<f32>, FileError> {
    let specs = architecture.tensors();
    let (expected, found) = (specs.len(), header.offset_keys().len());
    if expected != found {
        return Err(FileError::Tensors { expected, found });
    }
    let mut parameters = Vec::with_capacity(architecture.parameters());
    for spec in specs {
        let info = header.info(&spec.name).filter(|info| info.dtype == Dtype::F32 && info.shape == spec.shape);
        let Some(values) = info.and_then(|info| data.get(info.data_offsets.0..info.data_offsets.1)) else {
            return Err(FileError::Tensor { tensor: spec.name, shape: spec.shape });
        };
        parameters.extend(values.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)));
    }
    check_parameters(architecture, &parameters)?;
    Ok(parameters)
}

/// What the crate refuses to write can only be the fault of a header that is too long.
fn damaged(_: SafeTensorError) -> FileError {
    FileError::Damaged { problem: Damage::Header }
}

/// A tensor as the safetensors crate asks for it.
struct Tensor<'a> {
    spec: &'a TensorSpec,
    values: &'a [f32],
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.spec.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        4 * self.values.len()
    }
}
