#![allow(missing_docs)] pub mod shape;
