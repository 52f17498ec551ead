"""Every sensor driver: what it hangs on, what it gives, who makes the chip.

The one table of it: node.wiring checks configurations against DRIVERS, the host looks for replacements in MAKERS too, and tests
compare it with the drivers. It is text because a device would keep each short string of a dict for ever.
"""

# driver, bus, I2C addresses or -, what it gives as quantity:unit
DRIVERS = """
sht3x    i2c     68,69              temperature:Cel humidity:%RH
sht4x    i2c     68,69,70           temperature:Cel humidity:%RH
aht20    i2c     56                 temperature:Cel humidity:%RH
bme280   i2c     118,119            temperature:Cel pressure:Pa humidity:%RH
bmp280   i2c     118,119            temperature:Cel pressure:Pa
lps22hb  i2c     92,93              temperature:Cel pressure:Pa
ads1115  i2c     72,73,74,75        ain0:V ain1:V ain2:V ain3:V
mcp9600  i2c     96,97,98,99,100,101,102,103   thermocouple:Cel junction:Cel
mcp3208  spi     -                  ch0:V ch1:V ch2:V ch3:V ch4:V ch5:V ch6:V ch7:V
max31855 spi     -                  thermocouple:Cel junction:Cel
ds18b20  onewire -                  temperature0:Cel temperature1:Cel temperature2:Cel temperature3:Cel temperature4:Cel \
temperature5:Cel temperature6:Cel temperature7:Cel
modbus   uart    -                  register:
pulse    pin     -                  pulses:
adc      pin     -                  voltage:V
chip     none    -                  die:Cel
"""

# driver: maker, part numbers, datasheet that the driver was written from
MAKERS = {
    "sht3x": ("Sensirion", "SHT30 SHT31 SHT35", "SHT3x-DIS version 7"),
    "sht4x": ("Sensirion", "SHT40 SHT41 SHT45", "SHT4x rev. 6.5"),
    "aht20": ("ASAIR", "AHT20 AHT21", "AHT20 version 1.1"),
    "bme280": ("Bosch Sensortec", "BME280", "BST-BME280-DS002 rev. 1.24"),
    "bmp280": ("Bosch Sensortec", "BMP280", "BST-BMP280-DS001 rev. 1.26"),
    "lps22hb": ("STMicroelectronics", "LPS22HB", "DocID027083 rev. 6"),
    "ads1115": ("Texas Instruments", "ADS1115", "SBAS444D"),
    "mcp9600": ("Microchip", "MCP9600 MCP9601", "DS20005426"),
    "mcp3208": ("Microchip", "MCP3208", "DS21298E"),
    "max31855": ("Analog Devices", "MAX31855K J N T S R E", "19-5793 rev. 5"),
    "ds18b20": ("Analog Devices", "DS18B20", "19-7487 rev. 6"),
    "modbus": ("any maker", "meters, drives, transmitters", "MODBUS V1.1b3, Serial Line V1.02"),
    "pulse": ("any maker", "S0 meters, reed contacts, open collectors", "none"),
    "adc": ("Espressif", "ESP32 ADC1", "ESP32 Technical Reference Manual"),
    "chip": ("Espressif", "ESP32 temperature sensor", "ESP32 Technical Reference Manual"),
}


def driver(name: object) -> "tuple[str, list[int], dict[str, str]] | None":
    """What a driver needs and gives.

    Returns:
        (kind of bus, addresses, {quantity: unit, "" for any}), or None when there is none of that name.
    """
    for line in DRIVERS.split("\n"):
        words = line.split()
        if words and words[0] == name:
            addresses = [] if words[2] == "-" else [int(one) for one in words[2].split(",")]
            gives = {}
            for each in words[3:]:
                quantity, _, unit = each.partition(":")
                gives[quantity] = unit
            return words[1], addresses, gives
    return None


def names() -> list[str]:
    """All drivers."""
    return [line.split()[0] for line in DRIVERS.split("\n") if line]
