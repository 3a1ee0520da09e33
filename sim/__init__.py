"""Simulation of emitted Verilog: Verilator harness and cocotb testbenches."""
