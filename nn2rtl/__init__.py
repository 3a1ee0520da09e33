"""nn2rtl: quantized neural networks to verified FPGA hardware."""
