// DSP48E1 (AMD UG479) as far as the cores of nn2rtl use it, for simulators without AMD's library.
// Leave it out of synthesis, and where the simulator has AMD's own model.
module DSP48E1 #(
    parameter ACASCREG = 1, ADREG = 1, ALUMODEREG = 1, AREG = 1, BCASCREG = 1, BREG = 1,
    parameter CARRYINREG = 1, CARRYINSELREG = 1, CREG = 1, DREG = 1, INMODEREG = 1, MREG = 1,
    parameter OPMODEREG = 1, PREG = 1, USE_DPORT = "FALSE", USE_MULT = "MULTIPLY"
) (
    input CLK,
    input signed [29:0] A, ACIN,
    input signed [17:0] B, BCIN,
    input [47:0] C, PCIN,
    input signed [24:0] D,
    input [6:0] OPMODE,
    input [4:0] INMODE,
    input [3:0] ALUMODE,
    input [2:0] CARRYINSEL,
    input CARRYCASCIN, CARRYIN, MULTSIGNIN,
    input CEA1, CEA2, CEAD, CEALUMODE, CEB1, CEB2, CEC, CECARRYIN, CECTRL, CED, CEINMODE, CEM, CEP,
    input RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP,
    output [47:0] P, PCOUT
);
    reg signed [24:0] a1, a2, d1, ad1;
    reg signed [17:0] b1, b2;
    reg signed [42:0] m1;
    reg [47:0] p1;

    wire signed [24:0] ad = d1 + a1;
    wire signed [24:0] pre_added = ADREG ? ad1 : ad;
    wire signed [24:0] direct = AREG == 2 ? a2 : a1;
    wire signed [24:0] a = USE_DPORT == "TRUE" ? pre_added : direct;
    wire signed [17:0] b = BREG == 2 ? b2 : b1;

    wire [47:0] z = OPMODE[6:4] == 3'b000 ? 48'd0
                  : OPMODE[6:4] == 3'b001 ? PCIN
                  : OPMODE[6:4] == 3'b010 ? p1
                  : C;
    wire [47:0] product = {{5{m1[42]}}, m1};
    wire [47:0] sum = ALUMODE[0] ? z - product : z + product;

    always @(posedge CLK) begin
        a1 <= A[24:0];
        a2 <= a1;
        d1 <= D;
        ad1 <= ad;
        b1 <= B;
        b2 <= b1;
        m1 <= a * b;
        if (CEP) p1 <= sum;
    end

    assign P = PREG ? p1 : sum;
    assign PCOUT = P;
endmodule
