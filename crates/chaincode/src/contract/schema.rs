//! JSON Schemas of parameters and results.

use std::any::TypeId;
use std::marker::PhantomData;

use bytes::Bytes;
use serde_json::{Value, json};

/// The schemas of a chaincode's types, collected while its contracts are described.
#[derive(Debug)]
pub struct Schemas {
    #[cfg(feature = "metadata")]
    generator: schemars::SchemaGenerator,
}

/// Stands for a type of which the schema is asked.
#[derive(Debug)]
pub struct SchemaOf<T>(PhantomData<fn() -> T>);

impl<T> SchemaOf<T> {
    /// For use in what the attribute generates.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// Types that tell their schema. A call on a reference finds this trait before [`AnySchema`].
pub trait DerivedSchema {
    /// The schema, or a reference to it; `None` if nothing is sent at all.
    fn schema(&self, schemas: &mut Schemas) -> Option<Value>;
}

/// All types.
pub trait AnySchema {
    /// The schema; one that allows everything if the type is of the contract's own.
    fn schema(&self, schemas: &mut Schemas) -> Option<Value>;
}

#[cfg(feature = "metadata")]
impl<T: schemars::JsonSchema + 'static> DerivedSchema for SchemaOf<T> {
    fn schema(&self, schemas: &mut Schemas) -> Option<Value> {
        built_in::<T>().unwrap_or_else(|| Some(schemas.derived::<T>()))
    }
}

impl<T: 'static> AnySchema for &SchemaOf<T> {
    fn schema(&self, _: &mut Schemas) -> Option<Value> {
        built_in::<T>().unwrap_or_else(|| Some(json!({})))
    }
}

impl Schemas {
    pub(super) fn new() -> Self {
        Self {
            #[cfg(feature = "metadata")]
            generator: derived::generator(),
        }
    }

    #[cfg(not(feature = "metadata"))]
    pub(super) fn into_components(self) -> serde_json::Map<String, Value> {
        serde_json::Map::new()
    }
}

/// What travels in a form of its own has a schema in Go's words.
fn built_in<T: 'static>() -> Option<Option<Value>> {
    let of = TypeId::of::<T>();
    let is = |types: &[TypeId]| types.contains(&of);
    let between = |format: &str, minimum: u64, maximum: u64| json!({"type": "integer", "format": format, "minimum": minimum, "maximum": maximum});
    let schema = if of == TypeId::of::<()>() {
        return Some(None);
    } else if is(&[TypeId::of::<String>(), TypeId::of::<&'static str>()]) {
        json!({"type": "string"})
    } else if is(&[TypeId::of::<Vec<u8>>(), TypeId::of::<Bytes>()]) {
        json!({"type": "string", "format": "byte"})
    } else if of == TypeId::of::<bool>() {
        json!({"type": "boolean"})
    } else if of == TypeId::of::<i8>() {
        json!({"type": "integer", "format": "int8"})
    } else if of == TypeId::of::<i16>() {
        json!({"type": "integer", "format": "int16"})
    } else if of == TypeId::of::<i32>() {
        json!({"type": "integer", "format": "int32"})
    } else if is(&[TypeId::of::<i64>(), TypeId::of::<isize>()]) {
        json!({"type": "integer", "format": "int64"})
    } else if of == TypeId::of::<u8>() {
        between("int32", 0, u8::MAX.into())
    } else if of == TypeId::of::<u16>() {
        between("int64", 0, u16::MAX.into())
    } else if of == TypeId::of::<u32>() {
        between("int64", 0, u32::MAX.into())
    } else if is(&[TypeId::of::<u64>(), TypeId::of::<usize>()]) {
        json!({"type": "number", "format": "double", "multipleOf": 1, "minimum": 0, "maximum": u64::MAX})
    } else if is(&[TypeId::of::<i128>(), TypeId::of::<u128>()]) {
        json!({"type": "integer"})
    } else if of == TypeId::of::<f32>() {
        json!({"type": "number", "format": "float"})
    } else if of == TypeId::of::<f64>() {
        json!({"type": "number", "format": "double"})
    } else {
        return None;
    };
    Some(Some(schema))
}

#[cfg(feature = "metadata")]
mod derived {
    use schemars::generate::SchemaSettings;
    use schemars::{JsonSchema, SchemaGenerator};
    use serde_json::{Map, Value, json};

    use super::Schemas;

    const COMPONENTS: &str = "#/components/schemas/";

    pub(super) fn generator() -> SchemaGenerator {
        let settings = SchemaSettings::draft07().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        SchemaGenerator::new(settings)
    }

    impl Schemas {
        pub(super) fn derived<T: JsonSchema>(&mut self) -> Value {
            let mut schema = self.generator.subschema_for::<T>();
            for transform in self.generator.transforms_mut() {
                transform.transform(&mut schema);
            }
            object(schema.to_value())
        }

        /// Fabric's form: each type has its name as `$id`, and types name one another by that alone.
        pub(in super::super) fn into_components(mut self) -> Map<String, Value> {
            let mut components = self.generator.take_definitions(true);
            for (name, schema) in &mut components {
                *schema = object(schema.take());
                bare_references(schema);
                let Some(fields) = schema.as_object_mut() else { continue };
                fields.insert("$id".to_owned(), json!(name));
                if fields.contains_key("properties") {
                    // Go's reader takes an absent one for false, and only knows the two words.
                    let open = fields.get("additionalProperties") != Some(&Value::Bool(false));
                    fields.insert("additionalProperties".to_owned(), json!(open));
                }
            }
            components
        }
    }

    /// Fabric's readers know no schemas that are `true`, which allows everything, but take `{}` for the same.
    fn object(mut schema: Value) -> Value {
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            for property in properties.values_mut() {
                *property = object(property.take());
            }
        }
        if schema == Value::Bool(true) { json!({}) } else { schema }
    }

    fn bare_references(schema: &mut Value) {
        match schema {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get_mut("$ref")
                    && let Some(name) = reference.strip_prefix(COMPONENTS)
                {
                    *reference = name.to_owned();
                }
                fields.values_mut().for_each(bare_references);
            }
            Value::Array(items) => items.iter_mut().for_each(bare_references),
            _ => {}
        }
    }
}
