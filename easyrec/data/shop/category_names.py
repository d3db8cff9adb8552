"""Names of the shop's 20 parent categories and their 200 leaves, in English and Chinese with paraphrases."""

from __future__ import annotations

from dataclasses import dataclass

# One parent per block: "# english|chinese", then ten leaves "english|paraphrase|chinese|paraphrase".
# Four neighbouring parents make a section (see catalogue.py): style, technology, home, leisure, family.
_NAMES = """
# women's clothing|女装
dresses|frocks for ladies|连衣裙|长裙子
blouses|women's shirts|女士衬衫|雪纺上衣
skirts|midi and mini skirts|半身裙|短裙
knitwear|women's sweaters|针织衫|女士毛衣
down coats|warm puffer jackets|羽绒服|冬天的厚外套
leggings|stretch tights|打底裤|紧身裤
suits for women|office wear for ladies|女士西装|职业套装
lingerie|women's underwear|内衣|文胸
pyjamas|sleepwear|睡衣|家居服
maternity wear|clothes for pregnant women|孕妇装|怀孕穿的衣服
# shoes and bags|鞋包
sneakers|casual trainers|休闲鞋|板鞋
high heels|stiletto pumps|高跟鞋|细跟女鞋
boots|ankle boots|靴子|短靴
sandals|open summer shoes|凉鞋|夏天的鞋
handbags|ladies' purses|手提包|女包
backpacks|rucksacks|双肩包|背包
suitcases|travel luggage|行李箱|拉杆箱
wallets|card holders|钱包|卡包
belts|leather waist straps|皮带|腰带
scarves|shawls and wraps|围巾|披肩
# skin care|护肤
face cream|facial moisturizer|面霜|保湿霜
face masks|sheet masks|面膜|贴片面膜
cleansers|face wash|洗面奶|洁面乳
sunscreen|sun protection lotion|防晒霜|防晒乳
serums|anti-ageing essence|精华液|抗老精华
toners|hydrating face water|爽肤水|化妆水
eye cream|care against dark circles|眼霜|去黑眼圈
body lotion|skin moisturizer for the body|身体乳|润肤露
hand cream|care for dry hands|护手霜|手部护理
lip balm|care for dry lips|润唇膏|唇部护理
# make-up and hair|彩妆美发
lipstick|lip colour|口红|唇膏
foundation|liquid base make-up|粉底液|底妆
mascara|lash colour|睫毛膏|睫毛增长
eye shadow|eye palette|眼影|眼影盘
perfume|fragrance|香水|淡香精
nail polish|manicure colour|指甲油|美甲
shampoo|hair wash|洗发水|洗头膏
hair colour|hair dye|染发剂|染发膏
hair dryers|blow dryers|吹风机|电吹风
make-up brushes|cosmetic tools|化妆刷|美妆工具
# phones and audio|手机影音
smartphones|mobile phones|智能手机|手机
phone cases|protective covers|手机壳|保护套
chargers|fast charging adapters|充电器|快充头
power banks|portable batteries|充电宝|移动电源
earbuds|wireless earphones|蓝牙耳机|无线耳机
headphones|over-ear headsets|头戴耳机|降噪耳机
speakers|bluetooth sound boxes|音箱|蓝牙音响
smart watches|fitness wristbands|智能手表|运动手环
televisions|flat screen sets|电视机|液晶电视
cameras|digital photo cameras|相机|数码相机
# computers|电脑办公
laptops|notebook computers|笔记本电脑|手提电脑
tablets|touch screen computers|平板电脑|平板
keyboards|mechanical keyboards|键盘|机械键盘
computer mice|wireless mouse|鼠标|无线鼠标
monitors|computer screens|显示器|电脑屏幕
printers|ink and laser printers|打印机|激光打印机
routers|home wifi devices|路由器|无线网设备
hard drives|external storage|移动硬盘|存储盘
game consoles|video game machines|游戏机|家用主机
graphics cards|gaming video cards|显卡|游戏显卡
# car accessories|汽车用品
tyres|car wheels|轮胎|汽车轮子
engine oil|motor lubricant|机油|润滑油
dash cams|driving recorders|行车记录仪|车载摄像头
car mats|floor covers for cars|汽车脚垫|车用地垫
seat covers|car cushions|汽车坐垫|座椅套
car chargers|in-car adapters|车载充电器|点烟器充电
phone holders|car mounts|手机支架|车载架
wiper blades|windscreen wipers|雨刷|雨刮器
car wash kits|vehicle cleaning sets|洗车工具|车辆清洁套装
tyre inflators|air pumps|充气泵|打气泵
# tools and garden|工具园艺
drills|electric screwdrivers|电钻|电动螺丝刀
hammers|claw hammers|锤子|羊角锤
ladders|folding steps|梯子|折叠梯
paint rollers|wall painting tools|滚筒刷|刷墙工具
locks|smart door locks|锁|智能门锁
flower pots|planters|花盆|种植盆
seeds|vegetable and flower seeds|种子|菜籽花籽
garden hoses|watering pipes|浇水管|花园水管
lawn mowers|grass cutters|割草机|剪草机
gloves|work gloves|手套|劳保手套
# furniture|家具
sofas|couches|沙发|布艺沙发
beds|bed frames|床|双人床
mattresses|sleeping pads|床垫|乳胶垫
desks|writing tables|书桌|电脑桌
office chairs|ergonomic seats|办公椅|人体工学椅
wardrobes|clothes closets|衣柜|衣橱
bookshelves|book racks|书架|置物架
dining tables|kitchen tables|餐桌|饭桌
lamps|reading lights|台灯|护眼灯
carpets|floor rugs|地毯|地垫
# kitchen and home|厨房家居
frying pans|non-stick pans|平底锅|不粘锅
rice cookers|electric cookers for rice|电饭煲|煮饭锅
kettles|electric water boilers|电水壶|烧水壶
knives|kitchen cutters|菜刀|厨房刀具
plates and bowls|tableware|餐具|碗碟
vacuum flasks|insulated bottles|保温杯|保温壶
bed linen|duvet covers and sheets|四件套|床单被套
towels|bath cloths|毛巾|浴巾
storage boxes|home organizers|收纳箱|整理箱
vacuum cleaners|floor cleaning robots|吸尘器|扫地机器人
# snacks and drinks|零食饮料
nuts|roasted almonds and cashews|坚果|炒货
chocolate|cocoa sweets|巧克力|可可糖果
biscuits|cookies|饼干|曲奇
crisps|potato chips|薯片|膨化食品
dried fruit|preserved plums|果干|蜜饯
jerky|dried beef|牛肉干|肉脯
coffee|instant and ground coffee|咖啡|速溶咖啡
tea|green and black tea leaves|茶叶|绿茶红茶
juice|fruit drinks|果汁|水果饮料
yoghurt|fermented milk|酸奶|发酵乳
# groceries|粮油生鲜
rice|long grain rice|大米|香米
noodles|instant noodles|面条|方便面
cooking oil|sunflower and peanut oil|食用油|花生油
soy sauce|seasonings|酱油|调味料
fresh fruit|apples and cherries|新鲜水果|苹果樱桃
vegetables|leafy greens|蔬菜|绿叶菜
eggs|free range eggs|鸡蛋|土鸡蛋
milk|whole milk cartons|牛奶|纯牛奶
seafood|prawns and fish|海鲜|虾和鱼
steak|chilled beef|牛排|冷鲜牛肉
# sportswear|运动服饰
running shoes|jogging trainers|跑步鞋|慢跑鞋
basketball shoes|court sneakers|篮球鞋|实战球鞋
football boots|soccer cleats|足球鞋|钉鞋
tracksuits|training suits|运动套装|训练服
yoga clothes|fitness tights|瑜伽服|健身裤
swimwear|bathing suits|泳衣|游泳衣
sports bras|support tops for running|运动内衣|跑步背心
jerseys|team shirts|球衣|队服
caps|sun hats|棒球帽|遮阳帽
sports socks|running socks|运动袜|跑步袜
# fitness and outdoors|健身户外
dumbbells|hand weights|哑铃|手部负重
yoga mats|exercise mats|瑜伽垫|健身垫
treadmills|running machines|跑步机|走步机
tents|camping shelters|帐篷|露营棚
sleeping bags|camping quilts|睡袋|露营被
hiking boots|trekking shoes|登山鞋|徒步鞋
bicycles|road bikes|自行车|公路车
fishing rods|angling poles|鱼竿|钓竿
badminton rackets|shuttlecock bats|羽毛球拍|羽拍
swimming goggles|glasses for swimming|泳镜|游泳眼镜
# books|图书
novels|fiction|小说|虚构文学
crime stories|detective fiction|侦探小说|推理故事
science fiction|space stories|科幻小说|太空故事
cookbooks|recipe collections|菜谱|烹饪书
travel guides|tourist handbooks|旅行指南|旅游手册
history books|books on the past|历史书|史书
picture books|stories for small children|绘本|儿童故事书
comics|manga|漫画|动漫书
language courses|books to learn English|外语教材|英语学习书
programming books|coding manuals|编程书|代码教程
# hobbies|兴趣爱好
guitars|acoustic guitars|吉他|民谣吉他
pianos|digital keyboards|电钢琴|数码钢琴
vinyl records|music albums|黑胶唱片|音乐专辑
knitting wool|yarn|毛线|编织线
sewing machines|stitching machines|缝纫机|缝衣机
model kits|scale models|模型|拼装手办
stamps|collector's coins and stamps|邮票|收藏币
chess sets|go and chess boards|国际象棋|围棋棋盘
painting easels|canvas stands|画架|油画架
telescopes|star gazing scopes|天文望远镜|观星镜
# baby care|母婴
nappies|diapers|纸尿裤|尿不湿
baby formula|infant milk powder|婴儿奶粉|配方奶
baby bottles|feeding bottles|奶瓶|喂奶瓶
prams|baby strollers|婴儿车|手推车
car seats for children|child safety seats|儿童安全座椅|车载宝宝椅
baby clothes|rompers|婴儿服|连体衣
baby wipes|wet tissues for babies|婴儿湿巾|宝宝湿纸巾
cots|cribs|婴儿床|宝宝床
baby food|fruit puree|辅食|果泥
baby monitors|nursery cameras|婴儿监护器|宝宝看护器
# toys and school|玩具文具
building blocks|brick sets|积木|拼插玩具
dolls|plush toys|娃娃|毛绒玩具
jigsaw puzzles|picture puzzles|拼图|益智拼图
remote control cars|toy racing cars|遥控车|玩具赛车
board games|family games|桌游|家庭游戏
school bags|satchels|书包|学生背包
pens|gel and fountain pens|钢笔|中性笔
notebooks|exercise books|笔记本|练习册
paints|watercolours|颜料|水彩
globes|world models|地球仪|世界模型
# health|健康
vitamins|food supplements|维生素|营养补充剂
protein powder|whey shakes|蛋白粉|乳清粉
fish oil|omega-3 capsules|鱼油|深海鱼油
thermometers|fever meters|体温计|测温仪
blood pressure meters|cuff monitors|血压计|血压仪
massagers|neck massage devices|按摩仪|颈椎按摩器
plasters|wound dressings|创可贴|伤口贴
toothbrushes|electric toothbrushes|牙刷|电动牙刷
contact lenses|soft lenses|隐形眼镜|软镜片
foot baths|heated foot spas|足浴盆|泡脚桶
# pets|宠物
dog food|kibble for dogs|狗粮|犬粮
cat food|canned food for cats|猫粮|猫罐头
cat litter|sand for cats|猫砂|豆腐砂
dog leads|leashes|狗绳|牵引绳
pet beds|baskets for cats and dogs|宠物窝|猫狗窝
scratching posts|climbing trees for cats|猫抓板|猫爬架
aquariums|fish tanks|鱼缸|水族箱
bird cages|parrot houses|鸟笼|鹦鹉笼
pet shampoo|bath foam for dogs|宠物香波|狗狗沐浴露
pet toys|chew toys|宠物玩具|磨牙玩具
"""


@dataclass(frozen=True)
class CategoryName:
    """One leaf category: a name and a paraphrase in two languages, and its parent's names."""

    english: str
    english_paraphrase: str
    chinese: str
    chinese_paraphrase: str
    parent_english: str
    parent_chinese: str


def category_names() -> list[CategoryName]:
    """All 200 leaves; leaf ``c`` belongs to parent ``c // 10``."""
    leaves: list[CategoryName] = []
    parent = ("", "")
    for line in _NAMES.strip().splitlines():
        if line.startswith("#"):
            english, chinese = line[2:].split("|")
            parent = (english, chinese)
        else:
            name, paraphrase, chinese, chinese_paraphrase = line.split("|")
            leaves.append(CategoryName(name, paraphrase, chinese, chinese_paraphrase, *parent))
    return leaves
