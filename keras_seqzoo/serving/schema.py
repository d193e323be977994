"""The table of TensorFlow Serving's protobuf messages, and the descriptor pool built from it.

Names and numbers come from TensorFlow's and TensorFlow Serving's `.proto` files. Fields that this
package never reads or writes are left out; protobuf keeps them as unknown ones. The tests compare
every field with the official descriptors.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, wrappers_pb2

# A header names a message or an enum; the indented lines under it hold `type name = number`, with
# the oneof it belongs to.
_SCHEMA = """
enum tensorflow.DataType
  DT_INVALID = 0; DT_FLOAT = 1; DT_DOUBLE = 2; DT_INT32 = 3; DT_UINT8 = 4; DT_INT16 = 5
  DT_INT8 = 6; DT_STRING = 7; DT_COMPLEX64 = 8; DT_INT64 = 9; DT_BOOL = 10; DT_QINT8 = 11
  DT_QUINT8 = 12; DT_QINT32 = 13; DT_BFLOAT16 = 14; DT_QINT16 = 15; DT_QUINT16 = 16
  DT_UINT16 = 17; DT_COMPLEX128 = 18; DT_HALF = 19; DT_RESOURCE = 20; DT_VARIANT = 21
  DT_UINT32 = 22; DT_UINT64 = 23; DT_FLOAT8_E5M2 = 24; DT_FLOAT8_E4M3FN = 25
  DT_FLOAT8_E4M3FNUZ = 26; DT_FLOAT8_E4M3B11FNUZ = 27; DT_FLOAT8_E5M2FNUZ = 28; DT_INT4 = 29
  DT_UINT4 = 30; DT_INT2 = 31; DT_UINT2 = 32; DT_FLOAT4_E2M1FN = 33
message tensorflow.TensorShapeProto
  repeated TensorShapeProto.Dim dim = 2; bool unknown_rank = 3
message tensorflow.TensorShapeProto.Dim
  int64 size = 1; string name = 2
message tensorflow.TensorProto
  DataType dtype = 1; TensorShapeProto tensor_shape = 2; int32 version_number = 3
  bytes tensor_content = 4; repeated int32 half_val = 13; repeated float float_val = 5
  repeated double double_val = 6; repeated int32 int_val = 7; repeated bytes string_val = 8
  repeated int64 int64_val = 10; repeated bool bool_val = 11; repeated uint32 uint32_val = 16
  repeated uint64 uint64_val = 17
message tensorflow.TensorInfo
  string name = 1 oneof encoding; DataType dtype = 2; TensorShapeProto tensor_shape = 3
message tensorflow.SignatureDef
  map<string, TensorInfo> inputs = 1; map<string, TensorInfo> outputs = 2; string method_name = 3
message tensorflow.BytesList
  repeated bytes value = 1
message tensorflow.FloatList
  repeated float value = 1
message tensorflow.Int64List
  repeated int64 value = 1
message tensorflow.Feature
  BytesList bytes_list = 1 oneof kind; FloatList float_list = 2 oneof kind
  Int64List int64_list = 3 oneof kind
message tensorflow.Features
  map<string, Feature> feature = 1
message tensorflow.Example
  Features features = 1

enum tensorflow.error.Code
  OK = 0; CANCELLED = 1; UNKNOWN = 2; INVALID_ARGUMENT = 3; DEADLINE_EXCEEDED = 4; NOT_FOUND = 5
  ALREADY_EXISTS = 6; PERMISSION_DENIED = 7; UNAUTHENTICATED = 16; RESOURCE_EXHAUSTED = 8
  FAILED_PRECONDITION = 9; ABORTED = 10; OUT_OF_RANGE = 11; UNIMPLEMENTED = 12; INTERNAL = 13
  UNAVAILABLE = 14; DATA_LOSS = 15

message tensorflow.serving.ModelSpec
  string name = 1; google.protobuf.Int64Value version = 2 oneof version_choice
  string version_label = 4 oneof version_choice; string signature_name = 3
message tensorflow.serving.PredictRequest
  ModelSpec model_spec = 1; map<string, TensorProto> inputs = 2; repeated string output_filter = 3
message tensorflow.serving.PredictResponse
  ModelSpec model_spec = 2; map<string, TensorProto> outputs = 1
message tensorflow.serving.ExampleList
  repeated Example examples = 1
message tensorflow.serving.ExampleListWithContext
  repeated Example examples = 1; Example context = 2
message tensorflow.serving.Input
  ExampleList example_list = 1 oneof kind
  ExampleListWithContext example_list_with_context = 2 oneof kind
message tensorflow.serving.Class
  string label = 1; float score = 2
message tensorflow.serving.Classifications
  repeated Class classes = 1
message tensorflow.serving.ClassificationResult
  repeated Classifications classifications = 1
message tensorflow.serving.ClassificationRequest
  ModelSpec model_spec = 1; Input input = 2
message tensorflow.serving.ClassificationResponse
  ModelSpec model_spec = 2; ClassificationResult result = 1
message tensorflow.serving.Regression
  float value = 1
message tensorflow.serving.RegressionResult
  repeated Regression regressions = 1
message tensorflow.serving.RegressionRequest
  ModelSpec model_spec = 1; Input input = 2
message tensorflow.serving.RegressionResponse
  ModelSpec model_spec = 2; RegressionResult result = 1
message tensorflow.serving.SignatureDefMap
  map<string, SignatureDef> signature_def = 1
message tensorflow.serving.GetModelMetadataRequest
  ModelSpec model_spec = 1; repeated string metadata_field = 2
message tensorflow.serving.GetModelMetadataResponse
  ModelSpec model_spec = 1; map<string, google.protobuf.Any> metadata = 2
message tensorflow.serving.StatusProto
  error.Code error_code = 1; string error_message = 2
message tensorflow.serving.GetModelStatusRequest
  ModelSpec model_spec = 1
message tensorflow.serving.ModelVersionStatus
  int64 version = 1; ModelVersionStatus.State state = 2; StatusProto status = 3
enum tensorflow.serving.ModelVersionStatus.State
  UNKNOWN = 0; START = 10; LOADING = 20; AVAILABLE = 30; UNLOADING = 40; END = 50
message tensorflow.serving.GetModelStatusResponse
  repeated ModelVersionStatus model_version_status = 1

message tensorflow.serving.LogMetadata
  ModelSpec model_spec = 1; repeated string saved_model_tags = 3; int64 timestamp_secs = 4
message tensorflow.serving.PredictLog
  PredictRequest request = 1; PredictResponse response = 2
message tensorflow.serving.ClassifyLog
  ClassificationRequest request = 1; ClassificationResponse response = 2
message tensorflow.serving.RegressLog
  RegressionRequest request = 1; RegressionResponse response = 2
message tensorflow.serving.PredictionLog
  LogMetadata log_metadata = 1; ClassifyLog classify_log = 2 oneof log_type
  RegressLog regress_log = 3 oneof log_type
  PredictLog predict_log = 6 oneof log_type

message tensorflow.serving.FileSystemStoragePathSourceConfig
message tensorflow.serving.FileSystemStoragePathSourceConfig.ServableVersionPolicy
  ServableVersionPolicy.Latest latest = 100 oneof policy_choice
  ServableVersionPolicy.All all = 101 oneof policy_choice
  ServableVersionPolicy.Specific specific = 102 oneof policy_choice
message tensorflow.serving.FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest
  uint32 num_versions = 1
message tensorflow.serving.FileSystemStoragePathSourceConfig.ServableVersionPolicy.All
message tensorflow.serving.FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific
  repeated int64 versions = 1
message tensorflow.serving.ModelConfig
  string name = 1; string base_path = 2; string model_platform = 4
  FileSystemStoragePathSourceConfig.ServableVersionPolicy model_version_policy = 7
  map<string, int64> version_labels = 8
message tensorflow.serving.ModelConfigList
  repeated ModelConfig config = 1
message tensorflow.serving.ModelServerConfig
  ModelConfigList model_config_list = 1 oneof config
message tensorflow.serving.PrometheusConfig
  bool enable = 1; string path = 2
message tensorflow.serving.MonitoringConfig
  PrometheusConfig prometheus_config = 1
message tensorflow.serving.BatchingParameters
  google.protobuf.Int64Value max_batch_size = 1
  google.protobuf.Int64Value batch_timeout_micros = 2
  google.protobuf.Int64Value max_enqueued_batches = 3
  google.protobuf.Int64Value num_batch_threads = 4
  google.protobuf.StringValue thread_pool_name = 5; repeated int64 allowed_batch_sizes = 6
  bool pad_variable_length_inputs = 7
  google.protobuf.BoolValue enable_large_batch_splitting = 8
  google.protobuf.Int64Value max_execution_batch_size = 9
"""

_FIELD = re.compile(r"(repeated )?(?:map<string, (\S+)>|(\S+)) (\w+) = (\d+)(?: oneof (\w+))?")
_SCALARS = {
    name: descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{name.upper()}")
    for name in ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32", "uint64")
}


def _build_pool(schema: str) -> descriptor_pool.DescriptorPool:
    files = {
        package: descriptor_pb2.FileDescriptorProto(
            name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3"
        )
        for package in ("tensorflow", "tensorflow.error", "tensorflow.serving")
    }
    scopes: dict[str, Any] = dict(files)
    scope: Any = None
    for line in filter(None, schema.splitlines()):
        if line.startswith(" "):
            for entry in line.strip().split("; "):
                _add_entry(scope, entry)
        else:
            kind, full_name = line.split()
            parent, _, name = full_name.rpartition(".")
            scope = scopes[full_name] = _add_type(scopes[parent], kind, name)
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        files["tensorflow.serving"].dependency.append(known.DESCRIPTOR.name)
    for package, file in files.items():
        pool.AddSerializedFile(file.SerializeToString())
        if package != "tensorflow.serving":
            files["tensorflow.serving"].dependency.append(file.name)
    return pool


def _add_type(parent: Any, kind: str, name: str) -> Any:
    if kind == "enum":
        return parent.enum_type.add(name=name)
    if isinstance(parent, descriptor_pb2.FileDescriptorProto):
        return parent.message_type.add(name=name)
    return parent.nested_type.add(name=name)


def _add_entry(scope: Any, entry: str) -> None:
    if isinstance(scope, descriptor_pb2.EnumDescriptorProto):
        name, number = entry.split(" = ")
        scope.value.add(name=name, number=int(number))
        return
    match = _FIELD.fullmatch(entry)
    assert match, entry
    repeated, map_value, kind, name, number, oneof = match.groups()
    if map_value:
        pair = scope.nested_type.add(name=name.title().replace("_", "") + "Entry")
        pair.options.map_entry = True
        _add_entry(pair, "string key = 1")
        _add_entry(pair, f"{map_value} value = 2")
        repeated, kind = "repeated", pair.name
    field = scope.field.add(name=name, number=int(number))
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type_name = kind  # the pool finds it, and whether it is a message or an enum
    if oneof:
        names = [declared.name for declared in scope.oneof_decl]
        if oneof not in names:
            names.append(oneof)
            scope.oneof_decl.add(name=oneof)
        field.oneof_index = names.index(oneof)


POOL = _build_pool(_SCHEMA)
