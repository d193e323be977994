#!/usr/bin/env bash
# Makes the environment that the peers run in: bash benchmarks/peers/make_env.sh FOLDER
set -euo pipefail
python3 -m venv "$1"
"$1/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 tokenizers onnxruntime openvino onnx onnxscript
"$1/bin/python" -c "import torch, onnxruntime, openvino; print(torch.__version__, onnxruntime.__version__, openvino.__version__)"
